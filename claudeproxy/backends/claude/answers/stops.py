"""
Stop sequences that the model's API does not take: of blanks alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field

from claudeproxy.backends.claude.answers.blanks import is_blank

__all__ = ["Stops", "native"]


def native(sequences: Iterable[str]) -> tuple[str, ...]:
    """
    Return those that the API takes.
    """
    return tuple(each for each in sequences if not is_blank(each))


@define
class Stops:
    """
    Cuts one answer off before the first sequence of blanks that it completes.
    """

    _sequences: tuple[str, ...]
    found: bool = field(init=False, default=False)
    _held: str = field(init=False, default="")
    """What may be the beginning of one."""

    @classmethod
    def among(cls, sequences: Iterable[str]) -> Stops:
        """
        Of these sequences, see to those that the API does not take.
        """
        return cls(tuple(each for each in sequences if is_blank(each)))

    def feed(self, piece: str) -> str:
        """
        Return what can be shown now that ``piece`` has followed.
        """
        if not self._sequences:
            return piece
        text, self._held = self._held + piece, ""
        if found := [each for each in self._sequences if each in text]:
            # The one that was complete first, which is the same however the text is cut into pieces.
            self.found = True
            return text[: min((text.index(each) + len(each), text.index(each)) for each in found)[1]]
        longest = max((_begun(each, text) for each in self._sequences), default=0)
        if longest:
            text, self._held = text[:-longest], text[-longest:]
        return text

    def rest(self) -> str:
        """
        Return what was held back and no sequence came of.
        """
        held, self._held = self._held, ""
        return held


def _begun(sequence: str, text: str) -> int:
    """
    How many characters of the sequence, but not all, the text ends with.
    """
    # Only blanks can be the beginning of one, and mostly a text has one at its end, or none.
    run = next((place for place, character in enumerate(reversed(text)) if not is_blank(character)), len(text))
    longest = min(len(sequence) - 1, run)
    return next((size for size in range(longest, 0, -1) if text.endswith(sequence[:size])), 0)
