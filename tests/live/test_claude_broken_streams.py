"""
What becomes of a turn when the API's stream breaks off, on the real CLI, which would ask the API again by itself.
"""

from __future__ import annotations

import json
import os
from itertools import product
from uuid import uuid4

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from claudeproxy.backends.claude.processes.environment import Launcher
from claudeproxy.config import load
from claudeproxy.core.chat import AnswerFormat, Text, TurnSettings
from claudeproxy.errors import BackendError
from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.playing import End, Pause, RawAnswer
from claudeproxy.testing.stub import RecordedRequest
from claudeproxy.wire.claude_cli import user_line
from tests.helpers import real_cli
from tests.live.breaking import ENDINGS, EVENTS, PLACES, STATES, broken_turn, start, text
from tests.live.claude import Make, RecordingSink, chat, until
from tests.live.whole import outcome, request

ALL = list(product(PLACES, ENDINGS, STATES))
CASES = ALL if "FUZZ_CASES" in os.environ else ALL[::23]
"""``make test`` has each place, each ending with each state; ``make fuzz`` has all of them."""


def texts(recorded: RecordedRequest) -> list[str]:
    """The texts of a recorded request's messages, without the CLI's own notes."""
    told = []
    for message in recorded.body["messages"]:
        if message["role"] == "system":
            continue
        content = message["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            inner = block.get("content") if block["type"] == "tool_result" else [block]
            inner = [{"type": "text", "text": inner}] if isinstance(inner, str) else inner
            told += [each["text"] for each in inner if each["type"] == "text"]
    return told


@pytest.mark.parametrize(("place", "ending", "state"), CASES)
@pytest_twisted.ensureDeferred
async def test_a_stream_that_breaks_ends_the_turn(
    claude: Make, stub_anthropic: StubAnthropic, place: str, ending: str, state: str
) -> None:
    """
    The client gets what there was, once, and an error; the API is not asked again. The next try is served by another
    process, and the model is told the conversation and nothing of the CLI's.
    """
    live = claude()
    broken = await broken_turn(live, stub_anthropic, state, PLACES[place], ENDINGS[ending])

    assert broken.error is not None
    assert broken.error.status in (502, 503)
    assert broken.finished == []
    assert broken.sink.text == PLACES[place].text
    assert len(broken.deltas) == PLACES[place].events
    assert broken.requests == 1
    assert live.backend.health().live == 0

    sink = RecordingSink()
    await broken.again.serve(sink)

    assert sink.finished is not None
    assert texts(stub_anthropic.requests[-1]) == broken.again.texts


@pytest.mark.parametrize("stream", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_client_is_told(whole: Make, stub_anthropic: StubAnthropic, stream: bool) -> None:
    """Over HTTP it is a status before the first byte, else an error event and the proper end of the body."""
    gateway = whole(claude={"CLAUDE_PATH": real_cli(), "ANTHROPIC_BASE_URL": stub_anthropic.url})
    emitted: Deferred[None] = Deferred()
    stub_anthropic.script(
        "/v1/messages", RawAnswer(200, EVENTS, (PLACES["a text"].stream, emitted, End.CLOSE), chunked=True)
    )
    client = await gateway.client()
    body = {"model": "sonnet", "messages": [{"role": "user", "content": "Hello"}], "stream": stream}
    client.send(request("POST", "/v1/chat/completions", json.dumps(body).encode()))
    if stream:
        await client.heard(b'"content":"is"')
    else:
        # What is not streamed shows only when it is complete.
        await stub_anthropic.next_request()
        await deferLater(reactor, 0.2, lambda: None)
    emitted.callback(None)
    answer = await client.answer()

    assert outcome(answer) == ((200, "backend_error", "The answer is") if stream else (502, "backend_error", ""))
    assert b'"finish_reason":"' not in answer.body
    assert len(stub_anthropic.requests) == 1


@pytest_twisted.ensureDeferred
async def test_an_object_that_breaks(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """A response with a schema that breaks behind the object is an error of the API's, and is not asked for again."""
    live = claude()
    stub_anthropic.script(
        "/v1/messages", RawAnswer(200, EVENTS, (start() + text(0, '{"a": 1}'), Pause(0.2), End.CLOSE), chunked=True)
    )
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    with pytest.raises(BackendError):
        await live.backend.open(chat("Hello", settings=TurnSettings(format=AnswerFormat(schema))), RecordingSink())

    assert len(stub_anthropic.requests) == 1


class RawTurn(ProcessProtocol):
    """A CLI without the daemon's reading: it is sent one turn, and its stdout is collected."""

    def __init__(self) -> None:
        self.output = b""
        self.ended = False

    def connectionMade(self) -> None:
        self.transport.write(user_line([Text("Hello")], str(uuid4())))

    def outReceived(self, data: bytes) -> None:
        self.output += data
        if b'"type":"result"' in self.output:
            self.transport.closeStdin()

    def processEnded(self, reason: Failure) -> None:
        self.ended = True


@pytest_twisted.ensureDeferred
async def test_the_cli_does_not_ask_again_by_itself(stub_anthropic: StubAnthropic) -> None:
    """As it is started, the CLI reports a response that broke off; without that, killing it would be a race."""
    environ = {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": stub_anthropic.url}
    launcher = Launcher(load({}, environ).claude, {"PATH": os.defpath}, "sonnet")
    launch = launcher.prepare(real_cli())
    stub_anthropic.script(
        "/v1/messages", RawAnswer(200, EVENTS, (PLACES["a text"].stream, Pause(0.2), End.CLOSE), chunked=True)
    )
    turn = RawTurn()
    reactor.spawnProcess(
        turn, launch.arguments[0], launch.arguments, dict(launch.environment), str(launch.working_directory)
    )
    await until(reactor, lambda: turn.ended)
    launcher.clean_up()

    assert b'"is_error":true' in turn.output
    assert b"isSynthetic" not in turn.output
    assert len(stub_anthropic.requests) == 1
