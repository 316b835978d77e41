"""
One CLI process, from its start to the end of its last pipe.

Flow control: while a turn runs, the process is the push producer of the turn's sink. A slow client pauses it; a paused
process is not read, its pipe fills, and the CLI waits in ``write``. Three things end a pause: the client reads again,
the turn ends, or the process is to end. The last two matter: a paused child that dies never reports its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import cast
from uuid import uuid4

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from claudeproxy.backends.claude.answers.failures import ended_early, exit_in_words
from claudeproxy.backends.claude.answers.stops import Stops
from claudeproxy.backends.claude.answers.turn import Expected, Outcome, Turn
from claudeproxy.backends.claude.answers.usage_limits import UsageLimits
from claudeproxy.backends.claude.processes.caps import Caps
from claudeproxy.backends.claude.processes.control import Control
from claudeproxy.backends.claude.processes.costs import Costs
from claudeproxy.backends.claude.processes.environment import Launch
from claudeproxy.backends.claude.processes.parking import Parking
from claudeproxy.backends.claude.processes.reaper import Reaper, signal_group
from claudeproxy.backends.claude.processes.seen import Seen
from claudeproxy.backends.claude.processes.stderr import Stderr
from claudeproxy.backends.claude.processes.stdin import StdinFeeder
from claudeproxy.backends.claude.processes.transport import ProcessTransport
from claudeproxy.backends.claude.processes.tuning import Tuning
from claudeproxy.backends.claude.requests.exchange import Results
from claudeproxy.core.chat import Part
from claudeproxy.errors import BackendError, ClaudeProxyError, OutputLimitExceeded
from claudeproxy.ops.redaction import redact
from claudeproxy.wire import claude_cli
from claudeproxy.wire.claude_cli import (
    ControlRequest,
    ControlResponse,
    Initialized,
    LimitSignal,
    McpRequest,
    TurnResult,
)
from claudeproxy.wire.framing import LineFramer, LineTooLong

__all__ = ["ClaudeProcess"]


@implementer(IPushProducer)
@define(eq=False, slots=False, repr=False)
class ClaudeProcess(ProcessProtocol):
    """
    The ``ProcessProtocol`` of one CLI.

    :ivar launch: what it was started with.
    :ivar booted: it has said something that we understand.
    :ivar silent: it was given up because it did not.
    :ivar version: the CLI's version, once it has said it.
    """

    _log = Logger()

    launch: Launch
    _caps: Caps
    _clock: IReactorTime
    _limits: UsageLimits
    on_ended: Callable[[ClaudeProcess], None]
    """Called once, when nothing of it is left."""
    _start_timeout: float
    """Seconds from the first thing that it is asked to the first that it says."""
    booted: bool = field(init=False, default=False)
    silent: bool = field(init=False, default=False)
    version: str | None = field(init=False, default=None)
    seen: Seen = field(init=False, factory=Seen)
    exit_status: str | None = field(init=False, default=None)
    _ending: bool = field(init=False, default=False)
    _exited: bool = field(init=False, default=False)
    _ended: bool = field(init=False, default=False)
    _deaf: bool = field(init=False, default=False)
    _paused: bool = field(init=False, default=False)
    _turn: Turn | None = field(init=False, default=None)
    parking: Parking = field(init=False, factory=Parking)
    _control: Control = field(init=False)
    _tuning: Tuning = field(init=False)
    _costs: Costs = field(init=False)
    _stderr: Stderr = field(init=False)
    _transport: ProcessTransport = field(init=False)
    _pid: int = field(init=False)
    _stdin: StdinFeeder = field(init=False)
    _framer: LineFramer = field(init=False)
    _reaper: Reaper = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._framer = LineFramer(self._caps.line)
        self._stderr = Stderr(self._caps.stderr)
        self._reaper = Reaper(self, self._clock)
        self._control = Control(
            self._clock, self._start_timeout, lambda line: self._stdin.write(line), self._does_not_start
        )
        self._tuning = Tuning(self._control, self.launch.model, self._must_succeed)
        self._costs = Costs(self._control, self._clock, not self.launch.own_login)

    def __repr__(self) -> str:
        # The launch holds the credentials.
        return f"<ClaudeProcess {self.launch.session_id} usable={self.usable} running={self.running}>"

    # -- State ----------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """It lives and nobody has begun to end it."""
        return not (self._ending or self._exited or self._ended)

    @property
    def over(self) -> bool:
        """Nothing is left of it."""
        return self._ended

    @property
    def running(self) -> bool:
        """A turn is under way."""
        return self._turn is not None

    def stderr_end(self) -> str:
        """The end of what it wrote to stderr, redacted."""
        return self._stderr.end()

    # -- What the conversation asks for ---------------------------------------

    def boot(self, booted: Callable[[], None], *, with_functions: bool = True) -> None:
        """
        Ask for the version, whose answer shows that the CLI is up; it needs no ``initialize`` before it (seen).

        While it waits it goes once through what its first turn will make it do: it loads some of its parts only then,
        which can take a fifth of the time to the first token.

        :param with_functions: whether that turn is likely to have functions.
        """

        def answered(response: ControlResponse) -> None:
            self.version = claude_cli.binary_version(response) or self.version
            booted()

        self._control.ask(lambda request_id: claude_cli.simple_request(request_id, "get_binary_version"), answered)
        for servers in (("rehearsal",), ()) if with_functions else ():
            self._control.ask(partial(claude_cli.mcp_servers, names=servers), lambda response: None)
        self._tuning.rehearse()

    def initialize(self, system: str, tools: tuple[str, ...] = ()) -> None:
        """
        Begin the conversation with its system prompt and the names of its functions. A refusal fails the turn that
        follows.
        """
        self.parking.tools = tools
        self._control.ask(lambda request_id: claude_cli.initialize(request_id, system, tools), self._must_succeed)

    def configure(self, model: str, settings: Mapping[str, object], *, show_reasoning: bool = True) -> None:
        """
        Set what the turn that follows is to use; a refusal of model or settings fails that turn.

        The model of a process that has seen messages must not change: the CLI would write the change into them. A
        parked process goes on to show what the model thinks, or not, as its turn began (seen).
        """
        self._tuning.set(model, settings)
        self._tuning.show_reasoning(show_reasoning)

    def run_turn(self, parts: tuple[Part, ...], expected: Expected) -> Deferred[Outcome]:
        """
        Send a user's message of these parts, and hand on the answer's events.

        The Deferred fails with a :class:`ClaudeProxyError`; the process must not be used again then. Cancelling it
        ends the process.
        """
        return self._begin_turn(expected, lambda: claude_cli.user_line(parts, str(uuid4())))

    def continue_turn(self, results: Results, expected: Expected) -> Deferred[Outcome]:
        """
        Give a parked process what the functions returned; then as :meth:`run_turn`.
        """
        return self._begin_turn(expected, lambda: self.parking.give(results))

    def leave_turn(self) -> Deferred[None]:
        """
        Have a parked process give up the turn in which it waits; fires when it is ready for another one.
        """
        self._control.ask(claude_cli.interrupt, lambda response: None)
        return self.parking.give_up()

    def _begin_turn(self, expected: Expected, line: Callable[[], bytes]) -> Deferred[Outcome]:
        if self._ended:
            return fail(ended_early(self.booted, self.exit_status))

        def cancelled(done: Deferred[Outcome]) -> None:
            turn.abandon()
            self.end()

        done: Deferred[Outcome] = Deferred(cancelled)
        session_id, most, charge = self.launch.session_id, self._caps.output, self._costs.charge
        form, stops, known = expected.form, Stops.among(expected.stops), self.parking.tools
        emit, alive = expected.emit, expected.alive
        self._turn = turn = Turn(
            emit, session_id, most, charge, self._limits, self._park, form, stops, known, self.kill, done, alive
        )
        self._stdin.write(line())
        return done

    def end(self) -> None:
        """
        End the process: ``on_ended`` is called when it has ended. More calls change nothing.

        A running turn is interrupted first, so that the model stops at once, and is not heard any more.
        """
        if self._ending or self._ended:
            return
        self._ending = True
        if self._turn is not None:
            self._turn.mute()
        if self._turn is not None or self.parking.waits:
            # At the end of its stdin alone, the CLI would answer its calls by itself and ask the model again (seen).
            self._control.ask(claude_cli.interrupt, lambda response: None)
        # A paused child that dies never reports its end.
        self.resumeProducing()
        self._reaper.start()

    def kill(self) -> None:
        """End it without grace."""
        self.end()
        if not self._ended:
            self._reaper.hurry()

    # -- IPushProducer --------------------------------------------------------

    def pauseProducing(self) -> None:
        """See ``IPushProducer``. Called again and again while the reader is slow."""
        if self.running and self.usable:
            self._paused = True
            self._transport.pauseProducing()

    def resumeProducing(self) -> None:
        """See ``IPushProducer``."""
        self._paused = False
        if not self._ended:
            self._transport.resumeProducing()

    def stopProducing(self) -> None:
        """See ``IPushProducer``: the client left."""
        if self.running:
            self.end()

    # -- ProcessProtocol ------------------------------------------------------

    def connectionMade(self) -> None:
        """See ``ProcessProtocol``."""
        assert self.transport is not None
        self._transport = cast(ProcessTransport, self.transport)
        self._pid = self._transport.pid
        self._stdin = StdinFeeder(self._transport)
        self._stdin.start()

    def outReceived(self, data: bytes) -> None:
        """See ``ProcessProtocol``. Nothing may escape from here: it would close the pipe."""
        if self._deaf:
            return
        try:
            lines, complete = self._lines_of(data)
            for line in lines:
                self._line_received(line)
            if not complete:
                self._fault(OutputLimitExceeded(f"Claude Code wrote a line longer than {self._caps.line} bytes."))
        except Exception:
            self._log.failure("Cannot handle the output of Claude Code")
            self._fault(BackendError("Claude Code's output could not be understood."))

    def errReceived(self, data: bytes) -> None:
        """See ``ProcessProtocol``. Always drained, so that the child never waits; the end of it is kept."""
        self._stderr.received(data)

    def processExited(self, reason: Failure) -> None:
        """See ``ProcessProtocol``: the CLI is gone, its pipes may not be."""
        self._exited = True
        self.exit_status = self.exit_status or exit_in_words(reason)
        # Its last words are still in the pipes, and unless they are read it never ends.
        self.resumeProducing()
        # A child that it left behind may hold its stdout open for ever.
        self._reaper.start()

    def processEnded(self, reason: Failure) -> None:
        """See ``ProcessProtocol``: nothing is left; only now is its place free."""
        self._ended = self._exited = True
        self._reaper.finished()
        self._control.heard()
        self._costs.close()
        self._stdin.close()
        self._stderr.closed()
        turn, self._turn = self._turn, None
        self.launch.clean_up()
        try:
            self.on_ended(self)
        finally:
            # Its place is free by now: who waits for the process takes another one.
            self.parking.turn_over()
            if turn is not None and not turn.over:
                self._log.warn(
                    "Claude Code ended within a turn ({status}). {stderr}",
                    status=self.exit_status,
                    stderr=self.stderr_end(),
                )
                turn.fail(ended_early(self.booted, self.exit_status))

    # -- IMortal --------------------------------------------------------------

    def close_stdin(self) -> None:
        """See ``IMortal``."""
        self._stdin.close()
        self._transport.closeStdin()

    def signal_group(self, number: int) -> None:
        """See ``IMortal``."""
        signal_group(self._transport, self._pid, number)

    def let_go(self) -> None:
        """See ``IMortal``."""
        self._log.warn("Something holds the pipes of Claude Code open after its end; letting go of them")
        self._transport.loseConnection()

    # -- Internals ------------------------------------------------------------

    def _lines_of(self, data: bytes) -> tuple[Sequence[bytes], bool]:
        """Return the lines that are complete now, and whether the next one can be."""
        try:
            return self._framer.feed(data), True
        except LineTooLong as too_long:
            return too_long.lines, False

    def _line_received(self, raw: bytes) -> None:
        try:
            line = claude_cli.decode_line(raw)
        except claude_cli.NotALine:
            self._log.debug("Claude Code wrote {size} bytes that are not its protocol", size=len(raw))
            return
        if line is None:
            return
        if not self.booted:
            self.booted = True
            self._control.heard()
        if self.parking.is_left_by(line):
            self._fault(BackendError("Claude Code went on by itself."))
            return
        match line:
            case ControlResponse():
                self._control.answered(line)
            case McpRequest():
                answer = self.parking.heard(line)
                if answer is not None:
                    self._stdin.write(answer)
            case ControlRequest(request_id=request_id, subtype=subtype):
                self._stdin.write(claude_cli.refuse_request(request_id, f"claudeproxy does not serve {subtype}"))
            case TurnResult():
                if (turn := self._let_go_of_turn()) is not None:
                    turn.line(line)
                self.parking.turn_over()
            case LimitSignal(limit=limit):
                self._limits.note(limit)
            case _:
                if isinstance(line, Initialized):
                    self.version = line.version or self.version
                if self._turn is not None:
                    self._turn.line(line)

    def _park(self, calls: tuple[str, ...], parked: Callable[[float | None], None]) -> None:
        turn = self._turn

        def told(cost: float | None) -> None:
            if self._turn is turn:
                self._let_go_of_turn()
                self.parking.park(calls)
                parked(cost)

        self._costs.ask(told)

    def _let_go_of_turn(self) -> Turn | None:
        turn, self._turn = self._turn, None
        if self._paused:
            self.resumeProducing()
        return turn

    def _fault(self, error: ClaudeProxyError) -> None:
        """
        Give up on the process: what it says from now on cannot be trusted.
        """
        self._deaf = True
        if self._turn is not None:
            self._turn.fail(error)
        self.end()

    def _does_not_start(self) -> None:
        """It was asked something and has said nothing: it hangs, or speaks another protocol."""
        self.silent = True
        self.exit_status = f"no answer within {self._start_timeout:g} s"
        self._fault(ended_early(self.booted, self.exit_status))

    def _must_succeed(self, response: ControlResponse) -> None:
        if response.error is not None and self._turn is not None:
            self._turn.fail(BackendError(f"Claude Code refused a setting: {redact(response.error)}"))
