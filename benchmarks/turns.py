"""
A client's side of turns on Claude Code: what it sends, and how long it waits for the first token.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from typing import Any

from benchmarks.servers import KEY

__all__ = ["PAUSE", "SYSTEM", "ask", "body", "chat_turn", "first_token", "new_session", "settle"]

SYSTEM = "Be brief."
PAUSE = 0.15
"""Seconds between turns: a person's next message does not come in the millisecond after the answer."""

_PATH = "/v1/chat/completions"
_HEADERS = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}


def body(messages: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """
    A request to Claude Code.
    """
    return {"model": "sonnet", "messages": [{"role": "system", "content": SYSTEM}, *messages], **more}


def chat_turn(
    port: int, messages: Sequence[Mapping[str, Any]], headers: Mapping[str, str] | None = None, **more: Any
) -> float:
    """
    Seconds to the first token of a streamed answer of the daemon.
    """
    return first_token(port, _PATH, body(messages, stream=True, **more), b'"content":"', headers)


def first_token(
    port: int, path: str, body: Mapping[str, Any], mark: bytes, headers: Mapping[str, str] | None = None
) -> float:
    """
    Seconds from the request, on a connection that stands, to the first line with the mark; the stream is read whole.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    begun = time.perf_counter()
    connection.request("POST", path, json.dumps(body), {**_HEADERS, **(headers or {})})
    response = connection.getresponse()
    assert response.status == 200, response.read()
    took = None
    while line := response.readline():
        # The role's own chunk has an empty content.
        if took is None and mark in line and b'"content":""' not in line:
            took = time.perf_counter() - begun
    connection.close()
    assert took is not None
    return took


def ask(
    connection: HTTPConnection, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> tuple[Any, str]:
    """
    The message that is answered, whole, on a connection that is kept, and the session's id.
    """
    connection.request("POST", _PATH, json.dumps(body), {**_HEADERS, **(headers or {})})
    response = connection.getresponse()
    answer = json.load(response)
    assert response.status == 200, answer
    session = response.getheader("X-Claude-Session-ID")
    assert session is not None
    return answer["choices"][0]["message"], session


def new_session(port: int) -> str:
    """
    The id of a session that has had its first turn.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    _, session = ask(connection, body([{"role": "user", "content": "Hello"}]))
    connection.close()
    return session


def settle(port: int, warm: int) -> None:
    """
    Wait until so many processes wait, and have had the time to boot.
    """
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        connection = HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/health")
        capacity = json.load(connection.getresponse())["checks"]["capacity"]
        connection.close()
        if capacity["warm"] >= warm and capacity["active"] == 0:
            time.sleep(1.0 if warm else PAUSE)
            return
        time.sleep(0.05)
    raise RuntimeError("the pool did not fill")
