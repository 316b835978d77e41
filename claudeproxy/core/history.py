"""
What makes two conversations the same one.

A client that sends its whole history each time is recognised by a digest of everything that the model has seen. The
tenant is part of it, so that one tenant's process can never serve another, and so are the model and the system prompt,
which a process cannot change once its conversation has begun.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import chain

from attrs import evolve

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
from claudeproxy.core.tools import Tool
from claudeproxy.errors import InvalidValue

__all__ = ["as_called", "check_results", "history_digest", "split_history", "split_prefill"]


def history_digest(tenant: str, model: str, system: str, tools: Iterable[Tool], messages: Iterable[Message]) -> bytes:
    """
    Return a digest that is equal only for equal conversations of one tenant.
    """
    digest = sha256()
    head = (tenant, model, system, *map(_offered, tools), "")
    parts = chain(head, *(_told(message) for message in messages))
    for part in parts:
        data = part.encode()
        # Each part is preceded by its length: ("ab", "c") and ("a", "bc") are different conversations.
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.digest()


def _offered(tool: Tool) -> str:
    # Not by attrs' asdict, which goes into the schema with several frames for each of its levels.
    return json.dumps([tool.name, tool.description, tool.schema, tool.strict], sort_keys=True)


def _told(message: Message) -> Iterator[str]:
    """
    Return what a message says; the number of its parts comes first, so that none passes for another message's.
    """
    yield message.role
    yield from _parts_told(message.shown.parts)


def _parts_told(parts: Sequence[Part]) -> Iterator[str]:
    yield str(len(parts))
    for part in parts:
        match part:
            case Text(text=text):
                yield from ("text", text)
            case Image(media_type=media_type, data=data):
                yield from ("image", media_type, data)
            case ImageLink(url=url):
                yield from ("link", url)
            case Document(media_type=media_type, data=data, title=title):
                yield from ("document", media_type, data, title)
            case ToolCall(call_id=call_id, name=name, arguments=arguments):
                yield from ("call", call_id, name, _canonical(arguments))
            case ToolResult(call_id=call_id, content=content):
                yield from ("result", call_id)
                yield from _parts_told(content)
            case Thinking():
                pass


def _canonical(arguments: str) -> str:
    """
    Return a call's arguments as one text for all that mean the same: many clients read them and write them anew.
    """
    try:
        return json.dumps(json.loads(arguments), sort_keys=True)
    except (ValueError, RecursionError):
        return arguments


def split_prefill(messages: Sequence[Message]) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """
    Split a conversation into what was said, and the beginning of the answer: its last messages, if the assistant's.
    """
    end = len(messages)
    while end and messages[end - 1].role is Role.ASSISTANT:
        end -= 1
    return tuple(messages[:end]), tuple(messages[end:])


def split_history(messages: Sequence[Message]) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """
    Split a conversation into what the model has answered to and what is new: all that follows its last answer.
    """
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].role is Role.ASSISTANT:
            return tuple(messages[: index + 1]), tuple(messages[index + 1 :])
    return (), tuple(messages)


def as_called(known: Sequence[Message], given: Sequence[Message], new: Sequence[Message]) -> tuple[Message, ...]:
    """
    Return what is new with the ids that the calls of the last answer really have; ``function_call`` has none.

    :param known: the conversation up to that answer as it was.
    :param given: the same as the client sent it; empty when it sent only what is new.
    """
    ours, theirs = _last_calls(known), _last_calls(given)
    if [call.name for call in ours] != [call.name for call in theirs]:
        return tuple(new)
    ids = {their.call_id: our.call_id for our, their in zip(ours, theirs, strict=True)}
    return tuple(Message(message.role, (_renamed(part, ids) for part in message.parts)) for message in new)


def _renamed(part: Part, ids: Mapping[str, str]) -> Part:
    return evolve(part, call_id=ids.get(part.call_id, part.call_id)) if isinstance(part, ToolResult) else part


def _last_calls(messages: Sequence[Message]) -> list[ToolCall]:
    return [part for part in (messages[-1].parts if messages else ()) if isinstance(part, ToolCall)]


def check_results(history: Sequence[Message], new: Sequence[Message]) -> None:
    """
    Check that what is new holds the result of each call of the last answer, once, and no other.

    :raises InvalidValue: it does not; the error names the calls.
    """
    called = [call.call_id for call in _last_calls(history)]
    returned = [part.call_id for message in new for part in message.parts if isinstance(part, ToolResult)]
    missing = [each for each in called if each not in returned]
    unknown = [each for each in returned if each not in called]
    repeated = [each for each, times in Counter(returned).items() if times > 1]
    if missing:
        raise InvalidValue(
            f"These calls of the last answer have no message of role 'tool': {', '.join(missing)}.", param="messages"
        )
    if unknown:
        raise InvalidValue(f"The last answer has no calls with these ids: {', '.join(unknown)}.", param="messages")
    if repeated:
        raise InvalidValue(
            f"These calls of the last answer have more than one message of role 'tool': {', '.join(repeated)}.",
            param="messages",
        )
