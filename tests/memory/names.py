"""
Names of the test's own.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Any

from attrs import define, field
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver, IHostResolution
from zope.interface import implementer

__all__ = ["Names"]


@implementer(IHostResolution)
@define(eq=False)
class _Resolution:
    name: str

    def cancel(self) -> None:
        pass


@implementer(IHostnameResolver)
@define(eq=False)
class Names:
    """
    Resolves names as the test says; one without addresses is unknown.
    """

    asked: list[str] = field(factory=list)
    """All names that were looked up."""
    held: list[Any] = field(factory=list)
    """Look-ups that wait for :meth:`release`."""
    hold: bool = False
    error: Exception | None = None
    """What is raised instead of looking up anything."""
    _answers: dict[str, deque[tuple[str, ...]]] = field(factory=lambda: defaultdict(deque))

    def set(self, name: str, *answers: Iterable[str]) -> None:
        """The addresses of a name: each answer is given once, the last one for ever."""
        self._answers[name] = deque(tuple(answer) for answer in answers)

    def release(self) -> None:
        """Answer the look-up that has waited for the longest."""
        self.held.pop(0)()

    def resolveHostName(
        self, resolutionReceiver: Any, hostName: str, portNumber: int = 0, *args: Any, **kwargs: Any
    ) -> IHostResolution:
        if self.error is not None:
            raise self.error
        self.asked.append(hostName)
        answers = self._answers[hostName]
        addresses = answers.popleft() if len(answers) > 1 else answers[0] if answers else ()
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)

        def answer() -> None:
            for address in addresses:
                kind = IPv6Address if ":" in address else IPv4Address
                resolutionReceiver.addressResolved(kind("TCP", address, portNumber))
            resolutionReceiver.resolutionComplete()

        if self.hold:
            self.held.append(answer)
        else:
            answer()
        return resolution
