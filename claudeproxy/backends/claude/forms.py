"""
Answers that are JSON objects.

The API has a way for that, which some models lack and some schemas are too much for. The other way is a function of our
own that the model must call: what it calls it with is the answer. Both come in pieces.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, count

from attrs import define, field

from claudeproxy.backends.claude.answer import is_object
from claudeproxy.core.chat import AnswerFormat
from claudeproxy.core.tools import Tool
from claudeproxy.errors import AnswerNotJSON

__all__ = ["Form", "form_tool"]

_OBJECT = {"type": "object"}
_DESCRIPTION = "Give the answer to the user. Call it once, with all of the answer."


_FAILED = "The model's answer is not the JSON object that was asked for."


def form_tool(format: AnswerFormat, tools: Iterable[Tool]) -> Tool:
    """
    Return the function whose arguments are the answer; its name is none of the client's.
    """
    taken = {tool.name for tool in tools}
    names = chain((format.name,), (f"{format.name[:60]}_{number}" for number in count()))
    name = next(each for each in names if each not in taken)
    described = f"{_DESCRIPTION}\n\n{format.description}" if format.description else _DESCRIPTION
    return Tool(name, described, {**_OBJECT, **(format.schema or {})})


@define
class Form:
    """
    The form of one answer, and how far it is filled in.
    """

    tool: str = ""
    """The function whose arguments are the answer; empty when the text itself is."""
    begun: bool = field(init=False, default=False)
    """Whether anything of the answer was passed on."""
    _filling: bool = field(init=False, default=False)
    """Whether the block that grows is a call of that function."""

    @property
    def called(self) -> bool:
        """
        Whether the model has begun to answer by a call.
        """
        return bool(self.tool) and self.begun

    def text(self, piece: str, calls: int) -> str:
        """
        Return what of a piece of text is a piece of the answer.

        :param calls: how many of the client's functions were called before. Nothing is said beside them.
        :raises AnswerNotJSON: the text is no object.
        """
        if self.tool or calls:
            return ""
        if not self.begun:
            piece = piece.lstrip()
            if piece and not piece.startswith("{"):
                raise AnswerNotJSON(_FAILED)
            self.begun = bool(piece)
        return piece

    def call(self, name: str) -> bool:
        """
        Take note of a call that begins; return whether it is an answer and none of the client's functions.
        """
        ours = bool(self.tool) and name == self.tool
        # A second answer would spoil the first.
        self._filling, self.begun = ours and not self.begun, self.begun or ours
        return ours

    def input(self, piece: str) -> str:
        """
        Return what of a piece of a call's arguments is a piece of the answer.
        """
        return piece if self._filling else ""

    def missing(self, text: str) -> str:
        """
        Return what a complete answer lacks: all of it, where the function was called without arguments.

        :param text: all that was returned before.
        :raises AnswerNotJSON: it is no JSON object.
        """
        lacking = "{}" if self.called and not text else ""
        if not is_object(text + lacking):
            raise AnswerNotJSON(_FAILED)
        return lacking
