"""
Answers that are JSON objects.

The API has a way for that, which some models lack and some schemas are too much for. The other way is a function of our
own that the model must call: what it calls it with is the answer. Both come in pieces.
"""

from __future__ import annotations

from collections.abc import Container
from itertools import chain, count

import msgspec
from attrs import define, field

from claudeproxy.backends.claude.answers.answer import is_object
from claudeproxy.core.chat import AnswerFormat
from claudeproxy.core.events import Usage
from claudeproxy.core.tools import Tool
from claudeproxy.errors import AnswerNotJSON, NoFunctionCalled
from claudeproxy.wire.anthropic import tool_schema

__all__ = ["Form", "form_tool"]

_OBJECT = {"type": "object"}
_DESCRIPTION = "Give the answer to the user. Call it once, with all of the answer."


_LONGEST_PROSE = 4096
"""Characters of a text that is no answer: as much as a refusal needs."""
_FAILED = "The model's answer is not the JSON object that was asked for."


def form_tool(format: AnswerFormat, taken: Container[str]) -> Tool:
    """
    Return the function whose arguments are the answer.

    :param taken: the names of others, which it cannot have.
    """
    names = chain((format.name,), (f"{format.name[:60]}_{number}" for number in count()))
    name = next(each for each in names if each not in taken)
    described = f"{_DESCRIPTION}\n\n{format.description}" if format.description else _DESCRIPTION
    if format.schema is None:
        return Tool(name, described, _OBJECT)
    # What the API takes as a function's schema is less than what it takes for an answer's.
    fitted = tool_schema(msgspec.json.decode(msgspec.json.encode(format.schema)))
    return Tool(name, described, fitted.schema, renamed=fitted.names.renamed, wrapper=fitted.names.wrapper)


@define
class Form:
    """
    The form of one answer, and how far it is filled in.
    """

    tool: str = ""
    """The function whose arguments are the answer; empty when the text itself is."""
    calls: bool = False
    """Whether the answer has to be calls of the client's functions, and has no text."""
    begun: bool = field(init=False, default=False)
    """Whether anything of the answer was passed on."""
    prose: str = field(init=False, default="")
    """The beginning of a text that is no answer."""
    spent: Usage | None = field(init=False, default=None)
    """On an answer that turned out to be none."""
    _filling: bool = field(init=False, default=False)
    """Whether the block that grows is a call of that function."""

    @property
    def is_text(self) -> bool:
        """
        Whether the model's text is the answer.
        """
        return not self.tool and not self.calls

    def text(self, piece: str, calls: int) -> str:
        """
        Return what of a piece of text is a piece of the answer.

        :param calls: how many of the client's functions were called before. No answer comes beside them.
        """
        if calls:
            return ""
        if not self.begun:
            # Why the model stops is only known at the end: prose may be a refusal.
            piece = (self.prose + piece).lstrip()
            self.begun = self.is_text and piece.startswith("{")
            if not self.begun:
                self.prose = piece[:_LONGEST_PROSE]
        return piece if self.begun and self.is_text else ""

    def call(self, name: str, calls: int) -> bool:
        """
        Take note of a call that begins; return whether it is an answer and none of the client's functions.

        :param calls: as for :meth:`text`.
        """
        ours = bool(self.tool) and name == self.tool
        # A second answer would spoil the first.
        self._filling = ours and not self.begun and not calls
        self.begun = self.begun or self._filling
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
        :raises NoFunctionCalled: it has to be calls.
        """
        if self.calls:
            raise NoFunctionCalled("The model called no function, though tool_choice asks for that.")
        lacking = "{}" if self.tool and self.begun and not text else ""
        if not is_object(text + lacking):
            raise AnswerNotJSON(_FAILED)
        return lacking
