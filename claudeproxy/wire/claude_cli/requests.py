"""
What is said to the CLI: control requests, answers to its own, and the user's messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from claudeproxy.core.chat import Part
from claudeproxy.wire.anthropic import content_blocks

__all__ = ["apply_settings", "initialize", "interrupt", "refuse_request", "simple_request", "user_line"]

_encode = msgspec.json.Encoder().encode


def _request(request_id: str, request: Mapping[str, Any]) -> bytes:
    return _encode({"type": "control_request", "request_id": request_id, "request": request}) + b"\n"


def simple_request(request_id: str, subtype: str) -> bytes:
    """
    A control request that needs no arguments, for example ``get_binary_version``.
    """
    return _request(request_id, {"subtype": subtype})


def initialize(request_id: str, system: str) -> bytes:
    """
    Give the conversation its system prompt.

    An empty one is sent as an empty list: without the field the CLI sends its own prompt of some 6,600 characters.
    """
    return _request(request_id, {"subtype": "initialize", "systemPrompt": [system] if system else []})


def interrupt(request_id: str) -> bytes:
    """
    End the running turn.
    """
    return _request(request_id, {"subtype": "interrupt"})


def apply_settings(request_id: str, settings: Mapping[str, Any]) -> bytes:
    """
    Change settings of the live process for the turns that follow.
    """
    return _request(request_id, {"subtype": "apply_flag_settings", "settings": settings})


def refuse_request(request_id: str, message: str) -> bytes:
    """
    Answer a control request of the CLI with an error, so that it does not wait.
    """
    response = {"subtype": "error", "request_id": request_id, "error": message}
    return _encode({"type": "control_response", "response": response}) + b"\n"


def user_line(parts: Sequence[Part], uuid: str) -> bytes:
    """
    One user message; it starts a turn.

    ``client_composed`` is what keeps the text plain. Without it, the CLI treats the text as typed at its terminal:
    ``@/etc/passwd`` becomes that file's contents, and ``/cost`` runs as a command.
    """
    line = {
        "type": "user",
        "message": {"role": "user", "content": content_blocks(parts)},
        "parent_tool_use_id": None,
        "session_id": "",
        "uuid": uuid,
        "client_composed": True,
    }
    return _encode(line) + b"\n"
