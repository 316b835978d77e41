"""
Which backend serves a request.
"""

from __future__ import annotations

import re
from enum import StrEnum

from claudeproxy.core.catalog import Catalog
from claudeproxy.errors import InvalidHeaderValue, InvalidSessionID

__all__ = ["BackendName", "choose", "parse_session_id"]

_YES = frozenset({"true", "1", "yes"})
_NO = frozenset({"false", "0", "no"})
_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class BackendName(StrEnum):
    """
    The backends, by the names that ``X-Backend-Mode`` says.
    """

    CLAUDE = "claude-code"
    UPSTREAM = "openai-passthrough"


def choose(
    *,
    claude_code: str | None,
    session_id: str | None,
    model: str,
    catalog: Catalog,
    upstream_configured: bool,
    route_claude_models: bool,
) -> BackendName:
    """
    Choose the backend. What the client says in a header comes first, then the model's name decides.

    With no upstream everything goes to Claude Code: it serves the mapped names, and it answers an unknown one with the
    names that are near to it.

    :param claude_code: the value of ``X-Claude-Code``.
    :param session_id: the value of ``X-Claude-Session-ID``; sessions are Claude Code's.
    :param upstream_configured: whether there is an upstream that could serve this request.
    :param route_claude_models: whether Claude's models go to Claude Code although there is an upstream.
    :raises InvalidHeaderValue: when ``claude_code`` says neither yes nor no.
    """
    if claude_code is not None:
        return BackendName.CLAUDE if _truth(claude_code) else BackendName.UPSTREAM
    if session_id is not None or not upstream_configured:
        return BackendName.CLAUDE
    if route_claude_models and catalog.is_claude(model):
        return BackendName.CLAUDE
    return BackendName.UPSTREAM


def parse_session_id(value: str) -> str:
    """
    Return the session id in lower case.

    :raises InvalidSessionID: when it is not a version 4 UUID.
    """
    session_id = value.lower()
    if _UUID4.fullmatch(session_id) is None:
        raise InvalidSessionID("The session id must be a version 4 UUID, as an earlier answer gave it.")
    return session_id


def _truth(value: str) -> bool:
    word = value.strip().lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise InvalidHeaderValue(
        "The header X-Claude-Code must be one of true, 1, yes, false, 0, no.", param="X-Claude-Code"
    )
