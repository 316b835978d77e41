"""
A request on its way to an upstream that speaks the client's own dialect, and an answer that was not passed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from attrs import frozen

from claudeproxy.interfaces import IByteSink

__all__ = ["Refusal", "RelayRequest"]


@frozen
class RelayRequest:
    """
    A request to pass on.
    """

    method: bytes
    path: bytes
    """Below ``/v1``, with its query: ``/chat/completions?x=1``."""
    headers: Sequence[tuple[bytes, bytes]]
    """The client's, as they came."""
    body: bytes | BinaryIO = b""
    """Bytes, or a seekable file."""
    client_key: str | None = None
    """The value of ``X-OpenAI-API-Key``."""
    tee_usage: bool = False
    """Whether to look for usage in the answer; its compression is then declined."""
    stream: bool = False
    """Whether the client asked for a stream."""
    creates: bool = False
    """Whether its body asks for something that stays, though its path only computes."""
    hands_over: bool = False
    """Whether another backend stands by: an answer that it may do better than comes back as a :class:`Refusal`."""


@frozen
class Refusal:
    """
    An upstream's answer that the client has not been sent, since another backend may do better.
    """

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    """Those that travel to the client."""
    body: bytes
    """All of it."""

    def write_to(self, sink: IByteSink) -> None:
        """
        Let the client have it after all.
        """
        sink.head(self.status, self.headers)
        if self.body:
            sink.raw(self.body)
