"""
What makes two conversations the same one.

A client that sends its whole history each time is recognised by a digest of everything that the model has seen. The
tenant is part of it, so that one tenant's process can never serve another, and so are the model and the system prompt,
which a process cannot change once its conversation has begun.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from attrs import evolve

from claudeproxy.core.chat import Message, Part, Role, ToolCall, ToolResult
from claudeproxy.core.digests import digest_of
from claudeproxy.core.tools import Tool, offer_key
from claudeproxy.errors import InvalidValue

__all__ = ["as_called", "check_results", "history_digest", "in_call_order", "split_history", "split_prefill"]


def history_digest(tenant: str, model: str, system: str, tools: Iterable[Tool], messages: Iterable[Message]) -> bytes:
    """
    Return a digest that is equal only for equal conversations of one tenant.
    """
    head = digest_of((tenant, model, system, *offer_key(tools)))
    # All of these have the same length, so nothing passes for something else.
    return sha256(b"".join((head, *(message.digest for message in messages)))).digest()


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


def in_call_order(messages: Iterable[Message]) -> tuple[Message, ...]:
    """
    Return a conversation with what functions returned in the order of their calls, whichever of them was faster.
    """
    told = list(messages)
    for index, message in enumerate(told):
        places = {call.call_id: place for place, call in enumerate(_last_calls([message]))}
        if len(places) > 1:
            start = end = index + 1
            while end < len(told) and _only_result(told[end]) in places:
                end += 1
            told[start:end] = sorted(told[start:end], key=lambda each: places[_only_result(each)])
    return tuple(told)


def _only_result(message: Message) -> str:
    """Return the id of the call that a message brings the result of, and nothing else; none is empty."""
    match message.parts:
        case (ToolResult(call_id=call_id),):
            return call_id
    return ""


def as_called(known: Sequence[Message], given: Sequence[Message], new: Sequence[Message]) -> tuple[Message, ...]:
    """
    Return what is new with the ids that the calls of the last answer really have; ``function_call`` has none, and what
    it returned may only have the function's name. What was returned is in the order of the calls.

    :param known: the conversation up to that answer as it was.
    :param given: the same as the client sent it; empty when it sent only what is new.
    """
    ours, theirs = _last_calls(known), _last_calls(given)
    ids: dict[str, str] = {}
    if [call.name for call in ours] == [call.name for call in theirs]:
        ids = {their.call_id: our.call_id for our, their in zip(ours, theirs, strict=True)}
    named = {call.name: call.call_id for call in reversed(ours)}
    new = [Message(message.role, (_renamed(part, ids, named) for part in message.parts)) for message in new]
    return in_call_order((*known[-1:], *new))[len(known[-1:]) :]


def _renamed(part: Part, ids: Mapping[str, str], named: Mapping[str, str]) -> Part:
    if not isinstance(part, ToolResult):
        return part
    known = named if part.by_name else ids
    return evolve(part, call_id=known.get(part.call_id, part.call_id), by_name=False)


def _last_calls(messages: Sequence[Message]) -> list[ToolCall]:
    return [part for part in (messages[-1].parts if messages else ()) if isinstance(part, ToolCall)]


def check_results(history: Sequence[Message], new: Sequence[Message]) -> None:
    """
    Check that what is new holds the result of each call of the last answer, once, and no other.

    :raises InvalidValue: it does not; the error names the calls.
    """
    # There may be thousands: none is looked for in a list.
    called = dict.fromkeys(call.call_id for call in _last_calls(history))
    returned = Counter(part.call_id for message in new for part in message.parts if isinstance(part, ToolResult))
    missing = [each for each in called if each not in returned]
    unknown = [each for each in returned if each not in called]
    repeated = [each for each, times in returned.items() if times > 1]
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
