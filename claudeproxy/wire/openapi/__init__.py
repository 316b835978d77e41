"""
The OpenAPI document, and the page that shows it.

``answers`` declares what comes back, ``operations`` says what each route takes and gives, ``document`` puts both
together with the types that decode requests, ``page`` writes it as HTML.
"""

from claudeproxy.wire.openapi.document import document
from claudeproxy.wire.openapi.page import PAGE_POLICY, page

__all__ = ["PAGE_POLICY", "document", "page"]
