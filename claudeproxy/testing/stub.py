"""
What the stubs of both APIs share: listening on loopback, recording, scripted answers, and noticing who leaves.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any, Generic, Self, TypeVar, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorTCP, IReactorTime
from twisted.internet.protocol import ServerFactory

from claudeproxy.testing.directives import BadDirective
from claudeproxy.testing.playing import RawAnswer
from claudeproxy.testing.server import Channel, Performance, RecordedRequest, StubFactory, StubRequest

__all__ = ["RecordedRequest", "Stub"]

T = TypeVar("T")


class _Waiters(Generic[T]):
    """
    Tells everyone who asked, each by a Deferred of their own.
    """

    def __init__(self) -> None:
        self._waiting: list[Deferred[T]] = []

    def wait(self) -> Deferred[T]:
        deferred: Deferred[T] = Deferred(self._waiting.remove)
        self._waiting.append(deferred)
        return deferred

    def tell(self, value: T) -> None:
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(value)


class Stub:
    """
    A server that answers as :meth:`answer` says, unless an answer was scripted for the path.
    """

    _clock: IReactorTime
    _listening: IListeningPort

    def __init__(self) -> None:
        self.strict = True
        """Whether each model refuses what the API has it refuse; only Anthropic's have something of the kind."""
        self.requests: list[RecordedRequest] = []
        """All that arrived, in order."""
        self.departures = 0
        """How many clients left before their answer ended."""
        self.connections = 0
        """How many connections were accepted."""
        self._scripted: dict[str, deque[RawAnswer]] = defaultdict(deque)
        self._arrivals: _Waiters[RecordedRequest] = _Waiters()
        self._leaving: _Waiters[RecordedRequest] = _Waiters()
        self._quiet: _Waiters[None] = _Waiters()
        self._open: set[Channel] = set()

    def answer(self, request: RecordedRequest) -> RawAnswer:
        """
        Return the answer to a request for which nothing was scripted.
        """
        return RawAnswer.json({"path": request.path}, status=404)

    # -- Starting and stopping ------------------------------------------------

    async def listen(self, reactor: IReactorTCP, port: int = 0) -> Self:
        """
        Listen on loopback at ``port``, or at any free one; all timers are the same reactor's.
        """
        self._clock = IReactorTime(reactor)
        factory = StubFactory(self._clock, self._serve, self._opened, self._lost)
        self._listening = reactor.listenTCP(port, cast(ServerFactory[Any], factory), interface="127.0.0.1")
        return self

    @property
    def port(self) -> int:
        """The port that the stub listens at."""
        return cast(IPv4Address, self._listening.getHost()).port

    @property
    def url(self) -> str:
        """The root, without a path."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> Deferred[None]:
        """
        Stop listening and drop every connection; fires when the last one is gone.
        """
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        await maybeDeferred(self._listening.stopListening)
        if self._open:
            quiet = self._quiet.wait()
            self.drop_connections()
            await quiet

    def drop_connections(self) -> None:
        """
        Reset all open connections, idle ones included.
        """
        for channel in self._open:
            channel.abort()

    # -- What a test says and asks --------------------------------------------

    def script(self, path: str, *answers: RawAnswer) -> None:
        """
        Give ``answers``, one each, to the next requests for ``path`` (no query); afterwards the stub answers again.
        """
        self._scripted[path].extend(answers)

    def forget_script(self, path: str) -> None:
        """
        Drop the scripted answers for ``path`` that nobody has asked for.
        """
        self._scripted.pop(path, None)

    def next_request(self) -> Deferred[RecordedRequest]:
        """
        Return a Deferred that fires with the next request to arrive.
        """
        return self._arrivals.wait()

    def next_departure(self) -> Deferred[RecordedRequest]:
        """
        Return a Deferred that fires with the next request whose client leaves before the answer ended.
        """
        return self._leaving.wait()

    # -- Serving --------------------------------------------------------------

    def _opened(self, channel: Channel) -> None:
        self.connections += 1
        self._open.add(channel)

    def _lost(self, channel: Channel) -> None:
        self._open.discard(channel)
        if not self._open:
            self._quiet.tell(None)

    def _serve(self, request: StubRequest) -> None:
        recorded = request.recorded()
        self.requests.append(recorded)
        scripted = self._scripted[recorded.path]
        try:
            answer = scripted.popleft() if scripted else self.answer(recorded)
        except BadDirective as error:
            answer = RawAnswer.json({"error": {"message": str(error), "type": "bad_directive"}}, status=400)
        recorded.status = answer.status
        Performance(request, recorded, answer, self._left).begin(self._clock)
        self._arrivals.tell(recorded)

    def _left(self, recorded: RecordedRequest) -> None:
        self.departures += 1
        self._leaving.tell(recorded)
