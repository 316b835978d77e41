"""
Answers in the client's words, where the model was told other names of properties.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import define, evolve, field

from claudeproxy.core.arguments import ArgumentNames, ArgumentReader
from claudeproxy.core.chat import Part, Text, ToolCall
from claudeproxy.core.events import ReasoningDelta, StreamEvent, TextDelta, ToolCallDelta, ToolCallStarted
from claudeproxy.core.tools import Tool

__all__ = ["ClientNames"]


@define
class ClientNames:
    """
    The names that a client has for what one turn's functions are called with.
    """

    _functions: dict[str, ArgumentNames]
    """By the names of the functions whose arguments differ."""
    _answer: ArgumentNames
    """The same for the function whose arguments are the answer's text."""

    @classmethod
    def of(cls, tools: Iterable[Tool], form: Tool | None) -> ClientNames:
        """
        Return those of a turn.

        :param form: the function whose arguments are the answer.
        """
        functions = {tool.name: tool.argument_names for tool in tools if tool.argument_names}
        return cls(functions, ArgumentNames() if form is None else form.argument_names)

    def __bool__(self) -> bool:
        return bool(self._functions or self._answer)

    def emit_to(self, emit: Callable[[StreamEvent], None]) -> Callable[[StreamEvent], None]:
        """
        Return what takes a turn's events and passes them on in the client's names.
        """
        return _Renaming(self._functions, self._answer, emit).take if self else emit

    def parts(self, parts: Iterable[Part]) -> tuple[Part, ...]:
        """
        Return an answer's parts in the client's names.
        """
        return tuple(self._part(part) for part in parts)

    def _part(self, part: Part) -> Part:
        if isinstance(part, ToolCall) and part.name in self._functions:
            return evolve(part, arguments=self._functions[part.name].known(part.arguments))
        if isinstance(part, Text) and self._answer:
            return Text(self._answer.known(part.text))
        return part


@define(eq=False)
class _Renaming:
    """
    Passes on the events of one answer.
    """

    _functions: dict[str, ArgumentNames]
    _answer: ArgumentNames
    _emit: Callable[[StreamEvent], None]
    _reader: ArgumentReader | None = field(init=False, default=None)
    """Of the call, or the answer, that grows."""
    _call: int | None = field(init=False, default=None)
    """The index of that call; None for the answer."""

    def take(self, event: StreamEvent) -> None:
        """
        Take one event.
        """
        match event:
            case ToolCallStarted(index=index, name=name):
                self._end()
                self._emit(event)
                names = self._functions.get(name)
                self._reader, self._call = (names.reader(), index) if names is not None else (None, None)
            case ToolCallDelta(arguments=arguments) if self._reader is not None and self._call is not None:
                self._say(self._reader.feed(arguments))
            case TextDelta(text=text) if self._answer:
                if self._reader is None or self._call is not None:
                    self._end()
                    self._reader, self._call = self._answer.reader(), None
                self._say(self._reader.feed(text))
            case ReasoningDelta() | ToolCallDelta():
                self._emit(event)
            case _:
                self._end()
                self._emit(event)

    def _say(self, text: str) -> None:
        if text:
            self._emit(TextDelta(text) if self._call is None else ToolCallDelta(self._call, text))

    def _end(self) -> None:
        """Pass on what is held back, since no more of it comes."""
        reader, self._reader = self._reader, None
        if reader is not None:
            self._say(reader.rest())
