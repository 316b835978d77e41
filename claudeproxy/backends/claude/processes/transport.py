"""
What a process is held by.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IPushProducer

__all__ = ["ProcessTransport"]


class ProcessTransport(Protocol):
    """
    What Twisted's process transports offer, of which ``IProcessTransport`` declares only a part.
    """

    pid: int

    def write(self, data: bytes) -> None: ...
    def closeStdin(self) -> None: ...
    def loseConnection(self) -> None: ...
    def signalProcess(self, signalID: int) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...
