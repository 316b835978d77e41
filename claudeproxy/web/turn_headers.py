"""
What the head of an answer says of its turn on Claude Code.
"""

# Twisted's web server has hardly any types.
# mypy: allow-untyped-calls

from __future__ import annotations

from claudeproxy.core.events import TurnHead
from claudeproxy.web.request import ProxyRequest

__all__ = ["announce", "retract"]

_SESSION = b"X-Claude-Session-ID"
_CREATED = b"X-Claude-Session-Created"
_IGNORED = b"X-Claude-Ignored-Params"


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


def retract(request: ProxyRequest) -> None:
    """
    Take back what was said of a turn that is not to be answered, and of which nothing was sent.
    """
    for name in (_SESSION, _CREATED, _IGNORED):
        request.responseHeaders.removeHeader(name)
