"""
An answer as it grows.
"""

from __future__ import annotations

import msgspec
from attrs import define, evolve, field

from claudeproxy.core.chat import Part, Text, Thinking, ToolCall

__all__ = ["Answer", "is_object"]


@define
class _Block:
    """
    A part that is not complete.
    """

    part: Text | Thinking | ToolCall
    pieces: list[str] = field(factory=list)

    def whole(self) -> Text | Thinking | ToolCall:
        words = "".join(self.pieces)
        match self.part:
            case Text():
                return Text(words)
            case Thinking():
                return evolve(self.part, text=words)
            case ToolCall():
                return evolve(self.part, arguments=words or "{}")


@define
class Answer:
    """
    What the model has said, thought and called so far, in its order.
    """

    _blocks: list[_Block] = field(init=False, factory=list)
    calls: int = field(init=False, default=0)
    """How many there are."""

    def say(self, text: str) -> None:
        """
        Take a piece of the text.
        """
        if not self._blocks or not isinstance(self._blocks[-1].part, Text):
            self._blocks.append(_Block(Text("")))
        self._blocks[-1].pieces.append(text)

    def begin_thought(self, redacted: str) -> None:
        """
        Take a thought that begins; nothing else comes of one that is redacted.
        """
        self._blocks.append(_Block(Thinking(redacted=redacted)))

    def think(self, text: str) -> None:
        """
        Take a piece of the thought that was begun last.
        """
        if self._blocks and isinstance(self._blocks[-1].part, Thinking):
            self._blocks[-1].pieces.append(text)

    def sign(self, signature: str) -> None:
        """
        Take the signature of the thought that was begun last.
        """
        if self._blocks and isinstance(self._blocks[-1].part, Thinking):
            self._blocks[-1].part = Thinking(signature=signature)

    def begin_call(self, call_id: str, name: str) -> None:
        """
        Take a call that begins.
        """
        self.calls += 1
        self._blocks.append(_Block(ToolCall(call_id, name, "")))

    def call_with(self, text: str) -> None:
        """
        Take a piece of the arguments of the call that was begun last.
        """
        self._blocks[-1].pieces.append(text)

    @property
    def text(self) -> str:
        """
        All of the text.
        """
        return "".join(part.text for part in self._parts() if isinstance(part, Text))

    @property
    def well_called(self) -> bool:
        """
        Whether the CLI can read the arguments of every call.
        """
        return all(is_object(part.arguments) for part in self._parts() if isinstance(part, ToolCall))

    @property
    def thought(self) -> bool:
        """
        Whether the model thought.
        """
        return any(isinstance(block.part, Thinking) for block in self._blocks)

    @property
    def parts(self) -> tuple[Part, ...]:
        """
        The answer, as the history needs it: what was thought is of use only until the calls have their results.
        """
        return tuple(part for part in self._parts() if self.calls or not isinstance(part, Thinking))

    def _parts(self) -> list[Text | Thinking | ToolCall]:
        return [block.whole() for block in self._blocks]


def is_object(text: str) -> bool:
    """
    Whether a text is a JSON object.
    """
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.DecodeError, RecursionError):
        return False
