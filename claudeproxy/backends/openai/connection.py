"""
One connection to an upstream, and the exchange that it serves.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any
from typing import Protocol as Shape

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from claudeproxy.backends.openai.request import UpstreamRequest
from claudeproxy.wire.http1 import AnswerHead, AnswerReader, Truncated

__all__ = ["BrokenOff", "Connection", "Exchange", "NoAnswer", "Receiver"]


_REFUSED = 400
"""The status from which on a response says that the rest of the request is not wanted."""

_MOST_READS = 64
"""How often a socket is read that can no more be written to; each time brings 64 KiB at most."""


def _read_when_writing_fails(transport: Any) -> None:
    """
    Have a connection that breaks while it is written to be read to its end first.

    An upstream that refuses a request (413, 401) and closes without reading the rest of it causes a reset. When that
    comes together with the response, the next write fails, and Twisted closes the socket with the response unread.
    """
    while hasattr(transport, "transport"):  # below TLS
        transport = transport.transport
    write = getattr(transport, "doWrite", None)
    if write is None:
        return

    def do_write() -> Any:
        failed = write()
        if failed is not None:
            for _ in range(_MOST_READS):
                if transport.doRead() is not None:
                    break
        return failed

    transport.doWrite = do_write


class NoAnswer(Exception):
    """
    The connection ended before the upstream had said anything.
    """


class BrokenOff(Exception):
    """
    The connection ended in the middle of an answer.
    """


class Receiver(Shape):
    """
    Who gets an answer. Its end, good or bad, is the exchange's Deferred.
    """

    def answered(self, head: AnswerHead, flow: IPushProducer) -> None:
        """
        The head is there. ``flow`` pauses and resumes the upstream's socket; stopping it abandons the exchange.
        """

    def received(self, data: bytes) -> None:
        """
        The next bytes of the body.
        """


@implementer(IHandshakeListener)
class Connection(Protocol):
    """
    Serves one exchange at a time; between them it is the pool's.
    """

    transport: Any
    """TCP or TLS; no interface of Twisted's has all that both of them can."""

    def __init__(self, lost: Callable[[Connection], object]) -> None:
        """
        :param lost: called when the connection is gone.
        """
        self.exchange: Exchange | None = None
        """What is being served."""
        self.lost: Failure | None = None
        """Why the connection went."""
        self._notify_lost = lost
        self._handshake: Deferred[None] | None = None
        self._secured = False

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        _read_when_writing_fails(self.transport)

    def dataReceived(self, data: bytes) -> None:
        if self.exchange is None:
            self.drop()  # nobody asked
        else:
            self.exchange.data_received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Tell the pool first, so that nothing is sent here any more, then who waits.
        """
        self.lost = reason
        self._notify_lost(self)
        if self.exchange is not None:
            self.exchange.connection_lost(reason)
        waiting, self._handshake = self._handshake, None
        if waiting is not None:
            waiting.errback(reason)

    def secured(self) -> Deferred[None]:
        """
        Return a Deferred that fires when the TLS handshake is done, and fails with the reason when it is not to be.
        """
        if self._secured:
            return succeed(None)
        if self.lost is not None:
            return fail(self.lost)
        self._handshake = Deferred(lambda _: self._give_up())
        return self._handshake

    def handshakeCompleted(self) -> None:
        """
        TLS is up and the upstream's certificate is verified.
        """
        self._secured = True
        waiting, self._handshake = self._handshake, None
        if waiting is not None:
            waiting.callback(None)

    def _give_up(self) -> None:
        self._handshake = None
        self.drop()

    def usable(self, *, thoroughly: bool) -> bool:
        """
        Whether a kept connection may serve a request.

        :param thoroughly: look also at the socket. What can be read from an idle one is never good: the upstream's
            goodbye, or bytes that nobody asked for.
        """
        if self.lost is not None or self.transport.disconnecting:
            return False
        if not thoroughly:
            return True
        poll = select.poll()
        poll.register(self.transport.fileno(), select.POLLIN)
        return not poll.poll(0)

    def drop(self) -> None:
        """
        Drop the connection at once, whatever it does. Harmless when it is gone.
        """
        if self.lost is None:
            self.transport.abortConnection()

    def close(self) -> None:
        """
        Close a connection that serves nobody. Unlike ``loseConnection`` this does not wait for a TLS goodbye.
        """
        if self.lost is None:
            self.transport.stopProducing()


@implementer(IPushProducer)
class Exchange:
    """
    One request and its answer, on one connection.

    It ends in one of four ways: the answer is complete; the upstream breaks it off or does not speak HTTP; the receiver
    raises; it is abandoned, by cancelling :attr:`done` or by ``stopProducing``. Only the first leaves a connection that
    can be used again, in all others it is dropped at once. Afterwards the receiver hears nothing more, and the flow
    does nothing.
    """

    def __init__(
        self,
        connection: Connection,
        request: UpstreamRequest,
        receiver: Receiver,
        keep: Callable[[Connection], object],
    ) -> None:
        """
        :param keep: called when the connection can serve another exchange.
        """
        self.done: Deferred[None] = Deferred(lambda _: self._abandon())
        """
        Fires when the answer is complete; fails with :class:`NoAnswer`, :class:`BrokenOff`, ``RemoteProtocolError`` or
        what the receiver raised.
        """
        self._connection = connection
        self._request = request
        self._receiver = receiver
        self._keep = keep
        self._reader = AnswerReader(request.method)
        self._answered = False
        self._paused = False

    def start(self) -> Deferred[None]:
        """
        Send the request; returns :attr:`done`.
        """
        self._connection.exchange = self
        self._request.write_to(self._connection.transport)
        return self.done

    def data_received(self, data: bytes) -> None:
        """
        Pass on what the connection brought.
        """
        reader = self._reader
        try:
            body = reader.feed(data)
            if not self._answered:
                if reader.head is None:
                    return
                self._answered = True
                if reader.head.status >= _REFUSED:
                    # It may close without reading the rest (RFC 9110, section 10.1.1); the response counts.
                    self._request.cease()
                self._receiver.answered(reader.head, self)
            if body and self._connection.exchange is self:
                self._receiver.received(body)
        except Exception as error:
            # Of the upstream or of the receiver; it must not escape to the reactor, which would name neither.
            self._fail(error)
            return
        if reader.complete:
            self._complete()

    def connection_lost(self, reason: Failure) -> None:
        """
        The connection is gone, perhaps with the answer's proper end.
        """
        try:
            self._reader.eof()
        except Truncated as error:
            self._fail(BrokenOff(error) if self._reader.started else NoAnswer(reason.value))
            return
        if isinstance(reason.value, ConnectionDone):
            self._complete()
        else:
            self._fail(BrokenOff(reason.value))

    def pauseProducing(self) -> None:
        if self._connection.exchange is self:
            self._paused = True
            self._connection.transport.pauseProducing()

    def resumeProducing(self) -> None:
        if self._paused and self._connection.exchange is self:
            self._paused = False
            self._connection.transport.resumeProducing()

    def stopProducing(self) -> None:
        if self._connection.exchange is self:
            self._fail(CancelledError())

    def _complete(self) -> None:
        connection = self._connection
        if connection.exchange is not self:
            return
        reader = self._reader
        self.resumeProducing()
        connection.exchange = None
        head = reader.head
        # A server that refuses an upload may close on the rest of it, announced or not.
        refused = head is not None and head.status >= _REFUSED and self._request.is_upload
        if head is not None and head.persistent and not reader.excess and self._request.sent and not refused:
            self._keep(connection)
        else:
            connection.drop()
        self.done.callback(None)

    def _fail(self, error: Exception) -> None:
        if self._connection.exchange is self:
            self._abandon()
            self.done.errback(error)

    def _abandon(self) -> None:
        if self._connection.exchange is self:
            self._connection.exchange = None
            self._connection.drop()
