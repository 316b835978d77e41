"""
The tries of one request at one upstream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from claudeproxy.backends.openai.timers import Watch
from claudeproxy.config import UpstreamConfig
from claudeproxy.core.breaker import Breaker, BreakerState
from claudeproxy.core.retry import FAILING, UNWELL, Backoff, may_do_better, retry_after
from claudeproxy.errors import ClaudeProxyError, UpstreamTimeout, UpstreamUnreachable
from claudeproxy.wire.http1 import AnswerHead

__all__ = ["Replayable", "Tries"]


class Replayable(NamedTuple):
    """
    Whether to send a request a second time is harmless.
    """

    unanswered: bool
    """When the first was not answered (see ``client.py``)."""
    answered: bool
    """When the answer was an error, or broke off."""


class Tries:
    """
    Decides whether there is another try, and tells the breaker once how they went, as soon as that is certain.

    A timer that ran out is not tried again: who was waited for that long would be waited for as long once more.

    What the breaker shuts, it shuts for all paths. So a status that says that the upstream is not well, and a timer
    that runs while it works, count only where it is asked to infer: one odd path that is not served says nothing about
    the others. A connection that fails does.
    """

    _log = Logger()

    __slots__ = (
        "_answered",
        "_breaker",
        "_clock",
        "_config",
        "_hands_over",
        "_hides_401",
        "_infers",
        "_random",
        "_replayable",
        "_retries",
        "_unwell",
        "_visit",
        "_watch",
        "_written",
        "wait",
    )

    def __init__(
        self,
        clock: IReactorTime,
        config: UpstreamConfig,
        breaker: Breaker | None,
        random: Callable[[], float],
        watch: Watch,
        replayable: Replayable,
        infers: bool,
        hides_401: bool,
        hands_over: bool,
    ) -> None:
        """
        :param breaker: None when the request does not concern it.
        :param random: gives numbers from 0 to 1.
        :param watch: has the request's timers.
        :param replayable: whether to send the request a second time is harmless.
        :param infers: whether a model is asked.
        :param hides_401: whether a 401 is about our key and not for the client.
        :param hands_over: whether another backend stands by.
        """
        self.wait: float | None = None
        """Seconds until the next try; None when there is none."""
        self._clock = clock
        self._config = config
        self._breaker = breaker
        self._random = random
        self._watch = watch
        self._replayable = replayable
        self._infers = infers
        self._hides_401 = hides_401
        self._hands_over = hands_over
        self._retries = -1
        self._visit: int | None = None
        self._written = False
        self._answered = False
        self._unwell = False

    def begin(self) -> bool:
        """
        Begin the next try; return False when the breaker forbids it.
        """
        self._retries += 1
        self.wait, self._written, self._answered = None, False, False
        if self._breaker is None:
            return True
        if self._retries:
            return self._is_closed(self._breaker)
        self._visit = self._breaker.admit(self._clock.seconds())
        return self._visit is not None

    def writes(self) -> None:
        """
        The request begins to be written.
        """
        self._written = True
        self._watch.phase("first byte", self._config.first_byte_timeout)

    def keeps(self, head: AnswerHead) -> bool:
        """
        Take note of an answer's head; return whether to keep the answer from the client.
        """
        status, self._answered = head.status, True
        if not may_do_better(status):
            self._tell(True)
            return status == 401 and self._hides_401
        if status in FAILING:
            asked = head.values(b"retry-after")
            now = self._clock.seconds()
            self.wait = self._plan(
                self._replayable.answered, retry_after(asked[-1].decode("latin-1"), now) if asked else None
            )
        self._found(well=status not in UNWELL, counts=self._infers)
        return self._hands_over or self.wait is not None

    def failed(self, error: ClaudeProxyError) -> None:
        """
        The try failed with an error of ours.
        """
        if isinstance(error, UpstreamUnreachable):
            harmless = self._replayable.answered if self._answered else self._replayable.unanswered
            self.wait = self._plan(harmless or not self._written, None)
        elif isinstance(error, UpstreamTimeout):
            self.wait = None
        self._found(well=False, counts=self._infers or not self._written or isinstance(error, UpstreamUnreachable))

    def over(self) -> None:
        """
        There will be no further try.
        """
        if self._unwell:
            self._tell(False)
        visit, self._visit = self._visit, None
        if visit is not None and self._breaker is not None:
            self._breaker.gave_up(visit)

    def _found(self, *, well: bool, counts: bool) -> None:
        """
        Take note of how a try went. A failure is not certain while there is another try.
        """
        if well:
            self._tell(True)
        elif counts:
            self._unwell = True
        if self._unwell and self.wait is None:
            self._tell(False)

    def _tell(self, well: bool) -> None:
        """
        Tell the breaker, unless it knows.
        """
        visit, self._visit = self._visit, None
        if visit is None or self._breaker is None:
            return
        if well:
            if self._breaker.succeeded(visit):
                self._log.info("The upstream {name} answers again.", name=self._config.name)
        elif self._breaker.failed(visit, self._clock.seconds()):
            self._log.warn(
                "The upstream {name} failed {failures} times in a row and is not asked for {pause} s.",
                name=self._config.name,
                failures=self._breaker.failures,
                pause=self._config.breaker_pause,
            )

    def _plan(self, replayable: bool, asked: float | None) -> float | None:
        if not replayable or self._retries >= self._config.retries:
            return None
        if self._breaker is not None and not self._is_closed(self._breaker):
            return None
        wait = Backoff(self._config.retry_wait).wait(self._retries, asked, self._random())
        return wait if wait is not None and wait < self._watch.left() else None

    def _is_closed(self, breaker: Breaker) -> bool:
        return breaker.state(self._clock.seconds()) is BreakerState.CLOSED
