"""
Responses of Anthropic's API that break off: what had been streamed by then, how the stream ends, and which process
serves the turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, frozen
from twisted.internet.defer import Deferred

from claudeproxy.core.chat import ChatRequest, Message, Part, Role, Text, ToolResult, TurnSettings
from claudeproxy.core.events import (
    Finished,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReport,
)
from claudeproxy.core.tools import Tool
from claudeproxy.errors import ClaudeProxyError
from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.playing import End, RawAnswer, Step, json_bytes
from tests.live.claude import LiveBackend, RecordingSink

__all__ = [
    "ENDINGS",
    "PLACES",
    "STATES",
    "Broken",
    "Place",
    "Turn",
    "broken_turn",
    "call",
    "error_event",
    "start",
    "stop",
    "text",
    "thought",
]

TOOL = Tool("f", "Look something up.", {"type": "object", "properties": {"q": {"type": "string"}}})

EVENTS = ((b"Content-Type", b"text/event-stream; charset=utf-8"),)
"""The headers of a stream."""


def _event(name: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), json_bytes({"type": name, **fields}))


def start() -> bytes:
    """The beginning of a message."""
    head = {"id": "msg_broken", "type": "message", "role": "assistant", "model": "claude-sonnet-5-5", "content": []}
    usage = {"input_tokens": 3, "output_tokens": 1}
    return _event("message_start", message={**head, "stop_reason": None, "stop_sequence": None, "usage": usage})


def _block(index: int, block: dict[str, Any], deltas: Sequence[dict[str, Any]], whole: bool) -> bytes:
    events = [_event("content_block_start", index=index, content_block=block)]
    events += [_event("content_block_delta", index=index, delta=delta) for delta in deltas]
    return b"".join([*events, *([_event("content_block_stop", index=index)] if whole else [])])


def text(index: int, *words: str, whole: bool = True) -> bytes:
    """A block of text; one that is not whole has no end."""
    return _block(index, {"type": "text", "text": ""}, [{"type": "text_delta", "text": word} for word in words], whole)


def thought(index: int, words: str, *, whole: bool = True) -> bytes:
    """A block of thinking."""
    deltas = [{"type": "thinking_delta", "thinking": words}]
    if whole:
        deltas.append({"type": "signature_delta", "signature": "c2lnbmF0dXJl"})
    return _block(index, {"type": "thinking", "thinking": "", "signature": ""}, deltas, whole)


def call(index: int, *pieces: str, whole: bool = True) -> bytes:
    """A call of the tool."""
    block = {"type": "tool_use", "id": f"toolu_broken_{index}", "name": TOOL.name, "input": {}}
    return _block(index, block, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces], whole)


def stop(reason: str) -> bytes:
    """The end of a message."""
    delta = _event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": 5})
    return delta + _event("message_stop")


@frozen
class Place:
    """
    What had been streamed when the stream broke.
    """

    stream: bytes
    events: int = 0
    """How many events of the neutral model that is."""
    text: str = ""


_HALF = '{"q": "a'
_WHOLE = '{"q": "a"}'

PLACES = {
    "nothing": Place(b""),
    "a message without content": Place(start()),
    "half a text": Place(start() + text(0, "The answer ", whole=False), 1, "The answer "),
    "a text": Place(start() + text(0, "The answer ", "is"), 2, "The answer is"),
    "half a thought": Place(start() + thought(0, "Hm.", whole=False), 1),
    "a thought": Place(start() + thought(0, "Hm."), 1),
    "a thought and half a text": Place(start() + thought(0, "Hm.") + text(1, "The ", whole=False), 2, "The "),
    "a thought and a text": Place(start() + thought(0, "Hm.") + text(1, "The "), 2, "The "),
    "half a call": Place(start() + call(0, _HALF, whole=False), 2),
    "a text and half a call": Place(start() + text(0, "So ") + call(1, _HALF, whole=False), 3, "So "),
    "a call": Place(start() + call(0, _WHOLE), 2),
    "a call and half a call": Place(start() + call(0, _WHOLE) + call(1, _HALF, whole=False), 4),
    "two calls": Place(start() + call(0, _WHOLE) + call(1, _WHOLE), 4),
    "a thought and a call": Place(start() + thought(0, "Hm.") + call(1, _WHOLE), 3),
    "a call and half a text": Place(start() + call(0, _WHOLE) + text(1, "So ", whole=False), 3, "So "),
}


def error_event(kind: str, message: str) -> bytes:
    """An error within a stream."""
    return _event("error", error={"type": kind, "message": message})


def _error(kind: str, message: str) -> list[Step]:
    return [error_event(kind, message), End.FINISH]


ENDINGS: dict[str, list[Step]] = {
    "the end of the body": [End.FINISH],
    "a close": [End.CLOSE],
    "a reset": [End.ABORT],
    "overloaded_error": _error("overloaded_error", "Overloaded"),
    "api_error": _error("api_error", "Internal server error"),
    "half an event": [b'event: content_block_delta\ndata: {"type": "content_blo', End.CLOSE],
    "no JSON": [b"event: content_block_delta\ndata: {oops\n\n", End.FINISH],
}
"""Those that the CLI takes for temporary."""

STATES = ("fresh", "live", "told whole", "parked")
"""What the process that serves the turn has done: nothing; a turn of the conversation; nothing, and there is a history;
it waits for the result of a tool call."""


@define(eq=False)
class Broken:
    """
    A turn whose response broke off.
    """

    error: ClaudeProxyError | None
    sink: RecordingSink
    requests: int
    """How often the API was asked for it."""
    again: Turn
    """The same turn, to be tried once more."""

    @property
    def finished(self) -> list[StreamEvent]:
        """The events that say that a response is complete."""
        return [event for event in self.sink.events if isinstance(event, Finished | UsageReport)]

    @property
    def deltas(self) -> list[StreamEvent]:
        """The other events."""
        kinds = (TextDelta, ReasoningDelta, ToolCallStarted, ToolCallDelta)
        return [event for event in self.sink.events if isinstance(event, kinds)]


@define
class Turn:
    """
    A request, and what the API must be sent for it.
    """

    live: LiveBackend
    request: ChatRequest
    texts: list[str]
    """Those of the messages, the model's included."""

    async def serve(self, sink: RecordingSink) -> None:
        """
        Serve it.
        """
        await self.live.backend.open(self.request, sink)


def _user(*parts: str | Part) -> Message:
    return Message(Role.USER, [Text(part) if isinstance(part, str) else part for part in parts])


def _request(*messages: Message, **fields: Any) -> ChatRequest:
    known = {"model": "sonnet", "backend_model": "sonnet", "tenant": "t", "settings": TurnSettings(), "tools": (TOOL,)}
    return ChatRequest(**{**known, "messages": messages, **fields})


async def _prepared(live: LiveBackend, state: str) -> Turn:
    """
    Return a turn that a process in this state serves.
    """
    if state == "fresh":
        return Turn(live, _request(_user("Hello")), ["Hello"])
    if state == "told whole":
        history = (_user("Hello"), Message(Role.ASSISTANT, "Hi"), _user("Go on"))
        return Turn(live, _request(*history), ["Hello", "Hi", "Go on"])
    first = RecordingSink()
    said = '[[stub call=f {"q": "b"}]]' if state == "parked" else "Hello"
    await live.backend.open(_request(_user(said)), first)
    assert first.head is not None
    calls = [event for event in first.events if isinstance(event, ToolCallStarted)]
    new = _user(*(ToolResult(each.call_id, (Text("rain"),)) for each in calls)) if calls else _user("Go on")
    texts = [said, "rain"] if calls else [said, first.text, "Go on"]
    return Turn(live, _request(new, session_id=first.head.session_id), texts)


async def broken_turn(
    live: LiveBackend,
    stub: StubAnthropic,
    state: str,
    place: Place,
    ending: Sequence[Step],
    emit: Callable[[StreamEvent], None] = lambda event: None,
) -> Broken:
    """
    Serve a turn whose response has this place and this ending.

    The stream breaks when the client has been sent what there was before it: bytes that a reset overtakes would have
    the turn end earlier than asked for.
    """
    turn = await _prepared(live, state)
    sink = RecordingSink()
    reached: Deferred[None] = Deferred()

    def on_event(event: StreamEvent) -> None:
        emit(event)
        if len(sink.events) == place.events and not reached.called:
            reached.callback(None)

    sink.on_event = on_event
    wait = [reached] if place.events else []
    # A second request would be answered by the stub as ever, and show in the client's text, too.
    begun = [place.stream] if place.stream else []
    stub.script("/v1/messages", RawAnswer(200, EVENTS, [*begun, *wait, *ending], chunked=True))
    before = len(stub.requests)
    error: ClaudeProxyError | None = None
    try:
        await turn.serve(sink)
    except ClaudeProxyError as raised:
        error = raised
    if error is not None:
        await live.all_ended()
    return Broken(error, sink, len(stub.requests) - before, turn)
