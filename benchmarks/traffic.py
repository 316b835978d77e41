"""
Clients of all sorts, for the soak: what they ask for, when they leave, and what they heard.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from random import Random
from typing import Any

from attrs import define, field

from benchmarks.processes import children
from benchmarks.servers import KEY, Server

__all__ = ["Client", "Tally"]

_DEPARTURES = 0.10
"""The part of the requests whose clients leave before the end."""
_LONGEST_STAY = 0.3
"""Seconds after which such a client is gone for certain."""
_FAULTS = 0.05
"""The part of the requests at which something goes wrong behind the daemon."""
_DIRECTIVES = (
    "status=500",
    "status=429 retry-after=1",
    "status=529",
    "status=400",
    "status=401",
    "die-after=1 deltas=5",
    "error-after=1 deltas=5",
    "delay=1",
)
"""What goes wrong, as the stubs of both APIs understand it."""
_ANSWERS = frozenset({200, 400, 401, 404, 408, 409, 429, 500, 502, 503, 504, 529})
"""What a client may hear; faults of the upstream are relayed as they come."""
_PATIENCE = 60.0
"""Seconds of silence after which an answer counts as lost."""
_ENDS = (b"data: [DONE]\n\n", b"data: [DONE]")


@define
class Tally:
    """
    What all clients did and heard.
    """

    sent: int = 0
    left: int = 0
    faults: int = 0
    killed: int = 0
    """Processes of the CLI."""
    broken_off: int = 0
    """Answers that ended before their end, as those must at which something goes wrong."""
    statuses: Counter[int] = field(factory=Counter)
    wrong: list[str] = field(factory=list)
    """What no client should have seen."""
    _lock: threading.Lock = field(factory=threading.Lock, repr=False)

    def add(self, **counts: int) -> None:
        """
        Count what has happened.
        """
        with self._lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)

    def heard(self, status: int) -> None:
        """
        Count an answer.
        """
        with self._lock:
            self.statuses[status] += 1

    def complain(self, what: str) -> None:
        """
        Note what must not be.
        """
        with self._lock:
            self.wrong.append(what[:400])


class _Departed(Exception):
    """
    The client has left.
    """


@define(eq=False)
class Client:
    """
    One client, which sends one request after the other on a connection that it keeps.
    """

    _daemon: Server
    _random: Random
    _tally: Tally
    _kind: str
    """What it asks for: ``upstream``, ``claude`` or ``other``."""
    _session: str | None = field(init=False, default=None)
    _connection: http.client.HTTPConnection | None = field(init=False, default=None)

    def run(self, until: float) -> None:
        """
        Send requests up to a moment of the monotonic clock, then hang up.
        """
        while time.monotonic() < until:
            try:
                self._one()
            except _Departed:
                self._hang_up()
                self._tally.add(left=1)
            except (OSError, http.client.HTTPException) as error:
                self._hang_up()
                self._tally.complain(f"{self._kind}: {error!r}")
        self._hang_up()

    def _one(self) -> None:
        """
        Send one request.
        """
        fault = self._random.random() < _FAULTS
        stay = self._random.uniform(0.001, _LONGEST_STAY) if self._random.random() < _DEPARTURES else None
        self._tally.add(sent=1, faults=int(fault))
        if self._kind == "upstream":
            self._chat("gpt-4o", 0.5, {}, fault, stay)
        elif self._kind == "claude":
            self._turn(fault, stay)
        else:
            self._other(stay)

    # -- Kinds of requests ----------------------------------------------------

    def _turn(self, fault: bool, stay: float | None) -> None:
        """
        A turn of Claude Code, new or in the session of the one before; a fault may be the death of a process.
        """
        if fault and self._random.random() < 0.3:
            self._kill_one()
        session, self._session = self._session, None
        headers = {}
        if session is not None and self._random.random() < 0.6:
            headers["X-Claude-Session-ID"] = session
        self._session = self._chat("sonnet", 0.7, headers, fault, stay)

    def _other(self, stay: float | None) -> None:
        """
        Anything else, mistakes of the client's among it.
        """
        data = {"model": "text-embedding-3-small", "input": "x" * self._random.randrange(200_000)}
        requests = [
            ("GET", "/health", b""),
            ("GET", "/v1/models", b""),
            ("POST", "/v1/chat/completions", b'{"model": '),
            ("GET", "/nowhere", b""),
            ("POST", "/v1/embeddings", json.dumps(data).encode()),
        ]
        self._ask(*self._random.choice(requests), {}, stay)

    def _chat(
        self, model: str, streams: float, headers: Mapping[str, str], fault: bool, stay: float | None
    ) -> str | None:
        """
        A chat; returns its session.

        :param streams: the part of the chats that stream.
        """
        stream = self._random.random() < streams
        directive = self._random.choice(_DIRECTIVES) if fault else f"deltas={self._random.randrange(1, 40)}"
        content = f"Hello [[stub {directive} bytes={self._random.randrange(1, 20_000)}]]"
        body: dict[str, Any] = {"model": model, "stream": stream, "messages": [{"role": "user", "content": content}]}
        response, answer = self._ask("POST", "/v1/chat/completions", json.dumps(body).encode(), headers, stay)
        whole = answer.endswith(_ENDS) or b'"error"' in answer
        if stream and response.status == 200 and not whole:
            self._tally.complain(f"a stream ended with {answer[-80:]!r}")
        return response.headers.get("X-Claude-Session-ID") if response.status == 200 else None

    def _kill_one(self) -> None:
        running = children(self._daemon.pid)
        if running:
            with suppress(ProcessLookupError):
                os.kill(self._random.choice(running), signal.SIGKILL)
                self._tally.add(killed=1)

    # -- One exchange ---------------------------------------------------------

    def _ask(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], stay: float | None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = self._connection
        if connection is None:
            connection = self._connection = http.client.HTTPConnection("127.0.0.1", self._daemon.port)
            connection.connect()
        given = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", **headers}
        leaves = None if stay is None else time.monotonic() + stay
        try:
            connection.sock.settimeout(_PATIENCE if stay is None else stay)
            connection.request(method, path, body or None, given)
            response = connection.getresponse()
            answer = self._read(connection, response, leaves)
        except TimeoutError:
            if stay is None:
                raise
            raise _Departed from None
        self._tally.heard(response.status)
        if response.status not in _ANSWERS:
            self._tally.complain(f"{method} {path}: {response.status} {answer[:200]!r}")
        if response.will_close:
            self._hang_up()
        return response, answer

    def _read(
        self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse, leaves: float | None
    ) -> bytes:
        """
        Read a body; one that breaks off is what there is of it.
        """
        pieces = []
        try:
            while piece := response.read1(65536):
                pieces.append(piece)
                if leaves is not None:
                    left = leaves - time.monotonic()
                    if left <= 0:
                        raise _Departed
                    connection.sock.settimeout(left)
            response.read()  # which notices that this was all
            complete = not response.length
        except (http.client.IncompleteRead, ConnectionResetError):
            complete = False
        if not complete:
            self._tally.add(broken_off=1)
            self._hang_up()
        return b"".join(pieces)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
