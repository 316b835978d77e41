"""
The messages of a Chat Completions request.
"""

from __future__ import annotations

from collections import deque

from claudeproxy.core.chat import Message, Part, Role, Text, ToolCall, ToolResult
from claudeproxy.errors import InvalidValue
from claudeproxy.wire.openai_chat.parts import Said, any_parts, text_parts
from claudeproxy.wire.openai_chat.schema import ChatMessage, ContentPart, MessageToolCall
from claudeproxy.wire.validation import invalid, missing, unsupported

__all__ = ["decode_messages"]


def decode_messages(entries: list[ChatMessage]) -> tuple[tuple[Message, ...], str]:
    """
    Return the conversation proper, and the system prompt that the system and developer messages before it make. Those
    within it keep their places. Where nobody is the user, the last of them that says something is the user's.

    :raises ClaudeProxyError: with status 400, as ``decode_request`` does.
    """
    if not entries:
        raise invalid("messages", "an array of at least one message")
    leading: list[tuple[Text, ...]] = []
    messages: list[Message] = []
    calls = _Calls()
    for index, entry in enumerate(entries):
        param = f"messages[{index}]"
        if entry.role in ("system", "developer") and not messages:
            leading.append(_instructed(entry, param))
        else:
            messages.append(_message(entry, param, calls))
    calls.settle(f"messages[{len(entries) - 1}]")
    if not any(message.role is Role.USER for message in messages):
        _let_system_ask(leading, messages)
    system = ("\n".join(part.text for part in parts) for parts in leading)
    return tuple(messages), "\n\n".join(text for text in system if text.strip())


def _let_system_ask(leading: list[tuple[Text, ...]], messages: list[Message]) -> None:
    """
    Make the last message of the system that says something the user's, where nobody else is the user: many a client
    has its whole question in the system prompt, and OpenAI answers it.

    :raises ClaudeProxyError: there is none.
    """
    for index, message in reversed(list(enumerate(messages))):
        if message.role is Role.SYSTEM and message.worded is not None:
            messages[index] = Message(Role.USER, message.parts)
            return
    for index, parts in reversed(list(enumerate(leading))):
        if any(part.text.strip() for part in parts):
            messages.insert(0, Message(Role.USER, leading.pop(index)))
            return
    raise invalid("messages", "at least one message of role 'user'")


class _Calls:
    """
    The calls of the last answer, which must all have their results before anything else is said.
    """

    def __init__(self) -> None:
        self._open: dict[str, str] = {}
        """Names of the functions by the calls' ids."""
        self._by_name: dict[str, deque[str]] = {}
        """Ids of the calls of a function, some of which may be answered already."""
        self._answered = False
        """Whether there was an answer. Results before it belong to a session, which knows its calls."""

    def begin(self, calls: tuple[ToolCall, ...], param: str) -> None:
        self.settle(param)
        self._answered = True
        self._by_name.clear()
        for index, call in enumerate(calls):
            if call.call_id in self._open:
                raise invalid(f"{param}.tool_calls[{index}].id", "an id that no other call has")
            self._open[call.call_id] = call.name
            self._by_name.setdefault(call.name, deque()).append(call.call_id)

    def result(self, call_id: str, param: str) -> None:
        if self._open.pop(call_id, None) is None and self._answered:
            raise invalid(param, "the id of a call in the answer before, which has no result yet")

    def result_of(self, name: str, param: str) -> str | None:
        """
        Take the result of an open call of a function, and return the call's id; None where a session knows it.
        """
        calls = self._by_name.get(name, deque())
        while calls and calls[0] not in self._open:
            calls.popleft()
        if calls:
            self._open.pop(calls[0])
            return calls.popleft()
        if self._answered:
            raise invalid(param, "the name of the function that the answer before calls")
        return None

    def settle(self, param: str) -> None:
        if self._open:
            missing = ", ".join(self._open)
            raise InvalidValue(
                "An answer that calls functions must be followed by a message of role 'tool' for each call; these have "
                f"none: {missing}.",
                param=param,
            )


def _message(entry: ChatMessage, param: str, calls: _Calls) -> Message:
    if entry.role == "assistant":
        return _answer(entry, param, calls)
    if entry.role == "tool":
        if entry.tool_call_id is None:
            raise missing(f"{param}.tool_call_id")
        calls.result(entry.tool_call_id, f"{param}.tool_call_id")
        return Message(Role.USER, (ToolResult(entry.tool_call_id, _said(entry, param)),))
    if entry.role == "function":
        if entry.name is None:
            raise missing(f"{param}.name")
        call_id = calls.result_of(entry.name, f"{param}.name")
        said = any_parts(entry.content or "", f"{param}.content")
        return Message(Role.USER, (ToolResult(call_id or entry.name, said, by_name=call_id is None),))
    calls.settle(param)
    if entry.role in ("system", "developer"):
        return Message(Role.SYSTEM, _instructed(entry, param))
    return Message(Role.USER, (*_named(entry), *_said(entry, param)))


def _named(entry: ChatMessage) -> tuple[Text, ...]:
    """
    Return the words by which the model sees who speaks: its API knows no names.
    """
    return (Text(f"{entry.name}:"),) if entry.name else ()


def _answer(entry: ChatMessage, param: str, calls: _Calls) -> Message:
    parts: list[Part] = [*text_parts(entry.content or "", f"{param}.content", refusals=True)]
    if not entry.content and entry.refusal:
        parts.append(Text(entry.refusal))
    called = tuple(_call(call, f"{param}.tool_calls[{index}]") for index, call in enumerate(entry.tool_calls or ()))
    if entry.function_call is not None and not called:
        # The older form has no ids; the message's place makes one.
        call_id = "call_" + param.replace("[", "_").rstrip("]")
        called = (ToolCall(call_id, entry.function_call.name, entry.function_call.arguments),)
    calls.begin(called, param)
    return Message(Role.ASSISTANT, (*parts, *called))


def _call(call: MessageToolCall, param: str) -> ToolCall:
    if call.type != "function":
        raise unsupported(f"{param}.type", "only calls of type 'function' can be sent")
    if call.function is None:
        raise missing(f"{param}.function")
    return ToolCall(call.id, call.function.name, call.function.arguments)


def _said(entry: ChatMessage, param: str) -> tuple[Said, ...]:
    return any_parts(_content(entry, param), f"{param}.content")


def _instructed(entry: ChatMessage, param: str) -> tuple[Text, ...]:
    return (*_named(entry), *text_parts(_content(entry, param), f"{param}.content"))


def _content(entry: ChatMessage, param: str) -> str | list[ContentPart]:
    if entry.content is None:
        raise missing(f"{param}.content")
    return entry.content
