"""
The neutral model's messages in the form of the Messages API.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from typing import Any

from claudeproxy.core.arguments import ArgumentNames
from claudeproxy.core.chat import (
    Document,
    Image,
    ImageLink,
    Message,
    Part,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from claudeproxy.core.media import PLAIN_TEXT
from claudeproxy.wire.numbers import decode_kept
from claudeproxy.wire.validation import nests_too_deeply

__all__ = ["called_functions", "content_blocks", "message_objects"]

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NO_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME = 128
_MARKS = 2
"""Of the four that the API takes; the CLI has one or two of its own in the system prompt."""


def message_objects(
    messages: Iterable[Message], names: Mapping[str, ArgumentNames] | None = None
) -> list[dict[str, Any]]:
    """
    Return the messages of a request; neighbours of one role are one message, as the API wants the results of calls.

    The last blocks of the user's last two messages are marked, so that the API's cache keeps what comes before them. It
    looks for what it has kept in the 20 blocks before a mark alone, and the calls of one answer and their results can
    be more; the mark before them is where the request before this one had its last.

    :param names: by functions, how the arguments of their calls differ from the client's.
    """
    calls = _Calls(names or {})
    objects = [
        {"role": role.value, "content": [_block(part, calls) for message in group for part in message.parts]}
        for role, group in groupby(messages, key=attrgetter("role"))
    ]
    for told in [each for each in objects if each["role"] == Role.USER][-_MARKS:]:
        told["content"][-1]["cache_control"] = {"type": "ephemeral"}
    return objects


def content_blocks(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """
    Return the blocks that a message of these parts has.
    """
    calls = _Calls()
    return [_block(part, calls) for part in parts]


def called_functions(messages: Iterable[Message]) -> list[str]:
    """
    Return the names of the functions that a conversation has called, each once, as the API is told them.
    """
    parts = (part for message in messages for part in message.parts)
    return list(dict.fromkeys(_function_name(part.name) for part in parts if isinstance(part, ToolCall)))


class _Calls:
    """
    The ids that the API is told for a conversation's calls: no two calls may have the same, and many clients count
    anew in each answer; and the names that it is told for their arguments.
    """

    def __init__(self, names: Mapping[str, ArgumentNames] | None = None) -> None:
        self._names = names or {}
        self._latest: dict[str, str] = {}
        """What the API is told, by the id that the last call of that id has."""
        self._told: set[str] = set()
        self._times: Counter[str] = Counter()

    def begin(self, call_id: str) -> str:
        """
        Return the id of a further call. It depends on what was before it alone, so that it stays while the conversation
        grows: the API's cache goes by that.
        """
        self._times[call_id] += 1
        told = _api_id(call_id) if self._times[call_id] == 1 else self._again(call_id)
        while told in self._told:
            self._times[call_id] += 1
            told = self._again(call_id)
        self._told.add(told)
        self._latest[call_id] = told
        return told

    def arguments(self, function: str, arguments: str) -> Any:
        """
        Return a call's arguments as the API has them.
        """
        return _input(arguments, self._names.get(function))

    def of_result(self, call_id: str) -> str:
        """
        Return the id of the call that a result is for.
        """
        return self._latest.get(call_id) or _api_id(call_id)

    def _again(self, call_id: str) -> str:
        return _api_id(f"{call_id} {self._times[call_id]}")


def _block(part: Part, calls: _Calls) -> dict[str, Any]:
    match part:
        case Text(text=text):
            return {"type": "text", "text": text}
        case Image():
            return {"type": "image", "source": _source(part)}
        case ImageLink():
            raise TypeError("A linked picture must be fetched before it is sent.")
        case Document(title=title):
            return {"type": "document", "source": _source(part), **({"title": title} if title else {})}
        case ToolCall(call_id=call_id, name=name, arguments=arguments):
            called = {
                "id": calls.begin(call_id),
                "name": _function_name(name),
                "input": calls.arguments(name, arguments),
            }
            return {"type": "tool_use", **called}
        case ToolResult(call_id=call_id, content=content):
            told = calls.of_result(call_id)
            return {"type": "tool_result", "tool_use_id": told, "content": content_blocks(content)}
        case Thinking(redacted=redacted) if redacted:
            return {"type": "redacted_thinking", "data": redacted}
        case Thinking(text=text, signature=signature):
            return {"type": "thinking", "thinking": text, "signature": signature}


def _api_id(call_id: str) -> str:
    """
    Return a call's id as the API takes it. Conversations that another model began have others: ``functions.add:0``.
    """
    if _ID.fullmatch(call_id):
        return call_id
    return f"call_{sha256(call_id.encode(errors='replace')).hexdigest()[:24]}"


def _function_name(name: str) -> str:
    """
    Return a function's name as the API takes it. That of one that is offered is such a name; others have made calls to
    ``functions.add``.
    """
    return _NO_NAME.sub("_", name)[:_LONGEST_NAME] or "_"


def _input(arguments: str, names: ArgumentNames | None) -> Any:
    """
    Return a call's arguments as the API has them, always an object. A number that would become another one on the way
    is a string of its digits.
    """
    try:
        decoded = decode_kept(arguments or "{}", str)
        if isinstance(decoded, dict) and not nests_too_deeply(decoded):
            return decode_kept(names.told(arguments), str) if names else decoded
    except (ValueError, RecursionError):
        pass
    # What the model wrote wrongly it is to see as it was.
    return {"_unparsed": arguments}


def _source(part: Image | Document) -> dict[str, Any]:
    if part.media_type == PLAIN_TEXT:
        return {"type": "text", "media_type": PLAIN_TEXT, "data": b64decode(part.data).decode()}
    return {"type": "base64", "media_type": part.media_type, "data": part.data}
