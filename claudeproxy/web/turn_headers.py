"""
What the head of an answer says of its turn on Claude Code.
"""

# Twisted's web server has hardly any types.
# mypy: allow-untyped-calls

from __future__ import annotations

from claudeproxy.core.events import TurnHead
from claudeproxy.web.request import ProxyRequest

__all__ = ["announce", "price", "retract"]

_SESSION = b"X-Claude-Session-ID"
_CREATED = b"X-Claude-Session-Created"
_IGNORED = b"X-Claude-Ignored-Params"
_COST = b"X-Claude-Cost-USD"


def announce(request: ProxyRequest, head: TurnHead) -> None:
    """
    Tell the client what is known of its turn before the first token.
    """
    headers = request.responseHeaders
    headers.setRawHeaders(_SESSION, (head.session_id,))
    if head.session_created:
        headers.setRawHeaders(_CREATED, (b"true",))
    if head.ignored:
        headers.setRawHeaders(_IGNORED, (", ".join(head.ignored),))


def price(request: ProxyRequest) -> None:
    """
    Tell the client what its turn cost, in the head of an answer that is sent when the turn is over.
    """
    if request.usage is not None and request.usage.cost_usd is not None:
        request.responseHeaders.setRawHeaders(_COST, (f"{request.usage.cost_usd:.8f}",))


def retract(request: ProxyRequest) -> None:
    """
    Take back what was said of a turn that is not to be answered, and of which nothing was sent.
    """
    for name in (_SESSION, _CREATED, _IGNORED):
        request.responseHeaders.removeHeader(name)
