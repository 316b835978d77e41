"""
What is said to the CLI: control requests, answers to its own, and the user's messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from claudeproxy.core.chat import Image, Part, Text
from claudeproxy.wire.anthropic import content_blocks
from claudeproxy.wire.claude_cli.lines import McpRequest

__all__ = [
    "apply_settings",
    "ask_cost",
    "initialize",
    "interrupt",
    "mcp_answer",
    "mcp_servers",
    "refuse_request",
    "show_thinking",
    "simple_request",
    "tool_answer",
    "user_line",
]

_SERVER = "client"
"""The MCP server that the client's functions are, as far as the CLI knows."""
_FUNCTION = "function"
"""The one function of it: the CLI takes some 0.3 ms of CPU for each that it knows, the names of one cost nothing."""
_PROTOCOL = "2025-11-25"
"""The version of MCP that Claude Code 2.1.329 speaks; another one makes it ask for all that is said here beforehand."""
_FOR_EVER = 86_400_000
"""Milliseconds that the CLI waits for a result. At the end it would answer by itself, and ask the model again."""
_LONGEST_RESULT = 500_000
"""Characters of a result that the CLI passes on as they are, at most."""

_encode = msgspec.json.Encoder().encode


def _request(request_id: str, request: Mapping[str, Any]) -> bytes:
    return _encode({"type": "control_request", "request_id": request_id, "request": request}) + b"\n"


def simple_request(request_id: str, subtype: str) -> bytes:
    """
    A control request that needs no arguments, for example ``get_binary_version``.
    """
    return _request(request_id, {"subtype": subtype})


def initialize(request_id: str, system: str, tools: Sequence[str] = ()) -> bytes:
    """
    Give the conversation its system prompt, and make known which functions it has.

    An empty prompt is sent as an empty list: without the field the CLI sends its own prompt of some 6,600 characters.

    :param tools: names alone. The CLI needs them to ask for a call; what it would send of them itself is not what the
        client wrote.
    """
    request: dict[str, Any] = {"subtype": "initialize", "systemPrompt": [system] if system else []}
    if tools:
        request["sdkMcpServers"] = [_SERVER]
        request["sdkMcpServerConfigs"] = {_SERVER: {"timeout": _FOR_EVER}}
        request["sdkMcpServerManifests"] = {_SERVER: {"initializeResult": _HANDSHAKE, "toolsListResult": _FUNCTIONS}}
        request["toolAliases"] = dict.fromkeys(tools, f"mcp__{_SERVER}__{_FUNCTION}")
    return _request(request_id, request)


_HANDSHAKE = {
    "protocolVersion": _PROTOCOL,
    "capabilities": {"tools": {}},
    "serverInfo": {"name": _SERVER, "version": "1"},
}
_FUNCTIONS = {
    "tools": [
        {
            "name": _FUNCTION,
            "description": "",
            "inputSchema": {"type": "object"},
            "_meta": {"anthropic/maxResultSizeChars": _LONGEST_RESULT, "anthropic/alwaysLoad": True},
        }
    ]
}


def mcp_servers(request_id: str, names: Iterable[str]) -> bytes:
    """
    Have these MCP servers beside those of ``initialize``, and no others.
    """
    servers = {name: {"type": "sdk", "name": name} for name in names}
    return _request(request_id, {"subtype": "mcp_set_servers", "servers": servers})


def mcp_answer(request: McpRequest) -> bytes:
    """
    Answer what the CLI asks of the server of functions, apart from calls.
    """
    results: dict[str, dict[str, Any]] = {"initialize": _HANDSHAKE, "tools/list": _FUNCTIONS}
    return _mcp_result(request, results.get(request.method, {}))


def tool_answer(request: McpRequest, content: Iterable[Text | Image]) -> bytes:
    """
    Answer a call with what the function returned.
    """
    blocks = [
        {"type": "text", "text": part.text}
        if isinstance(part, Text)
        else {"type": "image", "data": part.data, "mimeType": part.media_type}
        for part in content
    ]
    return _mcp_result(request, {"content": blocks})


def _mcp_result(request: McpRequest, result: Mapping[str, Any]) -> bytes:
    message = {"jsonrpc": "2.0", "id": request.message_id, "result": result}
    response = {"subtype": "success", "request_id": request.request_id, "response": {"mcp_response": message}}
    return _encode({"type": "control_response", "response": response}) + b"\n"


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


def show_thinking(request_id: str, shown: bool) -> bytes:
    """
    Have the API send a summary of what the model thinks, or nothing of it, in the turns that follow.

    The CLI says so in each request in which the model may think, with the budget or without as the model wants it; in
    ``CLAUDE_CODE_EXTRA_BODY`` all of that would have to be known. The tokens that it may think are not touched.
    """
    display = "summarized" if shown else "omitted"
    return _request(request_id, {"subtype": "set_max_thinking_tokens", "thinking_display": display})


def refuse_request(request_id: str, message: str) -> bytes:
    """
    Answer a control request of the CLI with an error, so that it does not wait.
    """
    response = {"subtype": "error", "request_id": request_id, "error": message}
    return _encode({"type": "control_response", "response": response}) + b"\n"


def ask_cost(request_id: str) -> bytes:
    """
    Ask what the process has used and cost so far, to the token; without the part that looks through transcripts.
    """
    return _request(request_id, {"subtype": "get_usage", "skip_behaviors": True, "detached": True})


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
