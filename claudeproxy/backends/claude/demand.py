"""
Which kinds of process should wait, judged by what was asked for lately.
"""

from __future__ import annotations

from collections import Counter, deque

from attrs import define, field

from claudeproxy.backends.claude.environment import FRESH, Kind

__all__ = ["Demand"]

_REMEMBERED = 8


@define
class Demand:
    """
    Remembers the kinds of the last requests for a process, and shares ``places`` among them.

    A process of the wrong kind is of no use to a request, so a machine that only begins conversations should not keep
    one for resuming; and eight requests are memory enough not to swap with each of them.
    """

    _places: int
    _recent: deque[Kind] = field(init=False)

    @classmethod
    def starting_with(cls, places: int, model: str) -> Demand:
        """
        Begin with the guess that most conversations are new, and that those resumed use ``model``.
        """
        demand = cls(places)
        demand._recent = deque([FRESH] * 5 + [Kind(model)] * 3, maxlen=_REMEMBERED)
        return demand

    def note(self, kind: Kind) -> None:
        """
        A process of this kind was asked for.
        """
        self._recent.append(kind)

    def mix(self) -> Counter[Kind]:
        """
        Return how many processes of each kind should wait: the places shared by largest remainder.
        """
        counts = Counter(self._recent)
        shares = {kind: count * self._places / _REMEMBERED for kind, count in counts.items()}
        mix = Counter({kind: int(share) for kind, share in shares.items()})
        by_remainder = sorted(shares, key=lambda kind: (mix[kind] - shares[kind], -counts[kind]))
        for kind in by_remainder[: self._places - mix.total()]:
            mix[kind] += 1
        return +mix
