"""
The Claude backend on the real CLI, against a stub of the API behind it.
"""

from __future__ import annotations

import os

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater

from claudeproxy.core.chat import Effort, TurnSettings
from claudeproxy.core.events import FinishReason, TextDelta
from claudeproxy.errors import (
    BackendAuthFailed,
    BackendError,
    CapacityExceeded,
    ClaudeProxyError,
    ContextLengthExceeded,
    InvalidValue,
    ModelNotFound,
    Overloaded,
    RateLimited,
    RequestRefused,
    SessionBusy,
    SessionNotFound,
    UpstreamTimeout,
    UsageLimitReached,
)
from claudeproxy.testing.anthropic import StubAnthropic
from tests.live.claude import Make, RecordingSink, chat, said


@pytest_twisted.ensureDeferred
async def test_a_turn_streams_and_ends_with_usage(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """An answer comes as deltas, with the API's own numbers and a session to come back to."""
    sink = RecordingSink()
    await claude().backend.open(chat("[[stub text=one two three four deltas=4]]", system="Be brief."), sink)

    assert sink.text == "one two three four"
    assert len([event for event in sink.events if isinstance(event, TextDelta)]) == 4
    assert sink.finished.reason is FinishReason.STOP
    assert sink.usage.usage.output_tokens == stub_anthropic.requests[-1].usage["output_tokens"]
    assert sink.usage.usage.cost_usd is not None
    assert sink.head is not None
    assert sink.head.session_created
    assert stub_anthropic.requests[-1].body["system"][-1]["text"] == "Be brief."
    assert not sink.flowing


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("text", ["look at @/etc/passwd", "/cost", "@/etc/hostname and @secret.txt", "/clear", "! ls"])
async def test_a_prompt_is_plain_text_and_nothing_else(text: str, claude: Make, stub_anthropic: StubAnthropic) -> None:
    """No file is read and no command is run for a prompt: the API is sent that text, and only that."""
    live = claude()
    first = RecordingSink()
    await live.backend.open(chat(text), first)
    # A second turn shows that the first left nothing behind, and that a live process is as deaf.
    await live.backend.open(chat(text, first.text, text), RecordingSink())

    assert said(stub_anthropic.requests[0]) == [("user", text)]
    assert said(stub_anthropic.requests[-1]) == [("user", text), ("assistant", first.text), ("user", text)]
    messages = [message for request in stub_anthropic.requests for message in request.body["messages"]]
    assert [message["content"] for message in messages if message["role"] == "system" and message["content"]] == []
    assert "root:" not in repr([request.body for request in stub_anthropic.requests])


@pytest_twisted.ensureDeferred
async def test_a_history_continues_in_the_process_that_has_seen_it(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """A client that sends its whole conversation again is served by the same process, in the same session."""
    live = claude()
    first, second = RecordingSink(), RecordingSink()
    await live.backend.open(chat("one", system="S"), first)
    await live.backend.open(chat("one", first.text, "two", system="S"), second)

    assert first.head is not None
    assert second.head is not None
    assert second.head.session_id == first.head.session_id
    assert not second.head.session_created
    assert live.started == 1
    assert said(stub_anthropic.requests[-1]) == [("user", "one"), ("assistant", first.text), ("user", "two")]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("difference", ["tenant", "system", "model", "history"])
async def test_whoever_differs_gets_a_process_of_their_own(difference: str, claude: Make) -> None:
    """Another key, system prompt, model or history is another conversation, however alike the rest."""
    live = claude()
    first, second = RecordingSink(), RecordingSink()
    await live.backend.open(chat("one", system="S"), first)
    answer = first.text + ("!" if difference == "history" else "")
    other: dict[str, str] = {difference: "other"} if difference in ("tenant", "system") else {}
    if difference == "model":
        other = {"model": "haiku"}
    await live.backend.open(chat("one", answer, "two", **{"system": "S", **other}), second)

    assert first.head is not None
    assert second.head is not None
    assert second.head.session_id != first.head.session_id
    assert live.started == 2


@pytest_twisted.ensureDeferred
async def test_a_history_that_no_process_has_seen_is_told_whole(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Roles, order and texts of a given history reach the model exactly, with any model and system prompt."""
    texts = ("one", "two\n\n  indented", 'three "quoted" \\ ünï 🎉', "four", "five")
    await claude().backend.open(chat(*texts, system="S", model="opus"), RecordingSink())

    request = stub_anthropic.requests[-1]
    roles = ("user", "assistant", "user", "assistant", "user")
    assert said(request) == list(zip(roles, texts, strict=True))
    assert request.body["system"][-1]["text"] == "S"
    assert "opus" in request.body["model"]


@pytest_twisted.ensureDeferred
async def test_a_session_needs_only_the_new_message(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Named by its id, a session goes on with its system prompt and its whole history, live or rebuilt."""
    live = claude(IDLE_PROCESS_TTL_MS="1000")
    first, second, third = RecordingSink(), RecordingSink(), RecordingSink()
    await live.backend.open(chat("Remember: my name is Alice", system="S"), first)
    assert first.head is not None
    session = first.head.session_id
    await live.backend.open(chat("What is my name?", session_id=session), second)
    assert "Alice" in second.text
    assert live.started == 1

    # Its process goes when it has been idle for long enough; the session does not.
    await live.all_ended()
    await live.backend.open(chat("What is my name?", session_id=session), third)

    assert "Alice" in third.text
    assert live.started == 2
    assert third.head is not None
    assert third.head.session_id == session
    assert stub_anthropic.requests[-1].body["system"][-1]["text"] == "S"


@pytest_twisted.ensureDeferred
async def test_another_tenants_session_is_unknown(claude: Make) -> None:
    """A session is found by the key that began it, and by no other."""
    live = claude()
    sink = RecordingSink()
    await live.backend.open(chat("one"), sink)
    assert sink.head is not None
    with pytest.raises(SessionNotFound):
        await live.backend.open(chat("two", session_id=sink.head.session_id, tenant="other"), RecordingSink())
    with pytest.raises(SessionNotFound):
        await live.backend.open(chat("two", session_id="9b2f0c61-4f3b-4b6e-9d0e-1f2a3b4c5d6e"), RecordingSink())


@pytest_twisted.ensureDeferred
async def test_a_busy_session_waits_and_then_refuses(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """A second turn of a session waits for the first, in order; one that would wait too long is refused."""
    live = claude(SESSION_BUSY_TIMEOUT_MS="300")
    sink = RecordingSink()
    running = live.backend.open(chat("[[stub deltas=200 every=0.005]]"), sink)
    await sink.first_event()
    assert sink.head is not None
    session = sink.head.session_id
    with pytest.raises(SessionBusy):
        await live.backend.open(chat("two", session_id=session), RecordingSink())
    await running
    await live.backend.open(chat("three", session_id=session), RecordingSink())

    assert said(stub_anthropic.requests[-1])[-1] == ("user", "three")


@pytest_twisted.ensureDeferred
async def test_what_a_turn_asks_for_ends_with_the_turn(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Effort, token limit and stop sequences reach the API for their turn, and leave no trace in the next."""
    live = claude()
    first = RecordingSink()
    settings = TurnSettings(effort=Effort.LOW, max_tokens=77, stop=("END", "FIN"))
    await live.backend.open(chat("plain"), first)
    plain = stub_anthropic.requests[-1].body
    second = RecordingSink()
    await live.backend.open(chat("plain", first.text, "tuned", settings=settings), second)
    tuned = stub_anthropic.requests[-1].body
    third = RecordingSink()
    await live.backend.open(
        chat("plain", first.text, "tuned", second.text, "thoughtless", settings=TurnSettings(effort=Effort.NONE)), third
    )
    thoughtless = stub_anthropic.requests[-1].body
    await live.backend.open(
        chat("plain", first.text, "tuned", second.text, "thoughtless", third.text, "plain"), RecordingSink()
    )
    last = stub_anthropic.requests[-1].body

    assert live.started == 1
    assert (tuned["max_tokens"], tuned["stop_sequences"], tuned["output_config"]) == (
        77,
        ["END", "FIN"],
        {"effort": "low"},
    )
    assert "thinking" in plain
    assert "thinking" not in thoughtless
    for name in ("max_tokens", "stop_sequences", "output_config", "thinking"):
        assert last.get(name) == plain.get(name)


@pytest_twisted.ensureDeferred
async def test_an_answer_that_was_cut_off_ends_there(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """At the token limit the answer ends with that reason; the CLI's own attempt to go on never reaches the client."""
    live = claude()
    sink, after = RecordingSink(), RecordingSink()
    await live.backend.open(chat("[[stub text=as far as it got stop=max_tokens]]"), sink)
    assert (sink.text, sink.finished.reason) == ("as far as it got", FinishReason.LENGTH)
    assert sink.usage.usage.output_tokens == stub_anthropic.requests[0].usage["output_tokens"]
    await live.all_ended()
    assert len(stub_anthropic.requests) == 1
    await live.backend.open(chat("[[stub text=as far as it got stop=max_tokens]]", sink.text, "go on"), after)

    assert said(stub_anthropic.requests[-1])[1:] == [("assistant", "as far as it got"), ("user", "go on")]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("stop", ["end_turn", "stop_sequence"])
async def test_an_empty_answer_is_an_answer(stop: str, claude: Make, stub_anthropic: StubAnthropic) -> None:
    """A model that says nothing has answered: nothing is put into the user's mouth to make it say more."""
    live = claude()
    sink = RecordingSink()
    await live.backend.open(chat(f"[[stub bytes=0 stop={stop}]]"), sink)
    await live.all_ended()
    assert (sink.text, sink.finished.reason) == ("", FinishReason.STOP)
    assert sink.head is not None
    await live.backend.open(chat("go on", session_id=sink.head.session_id), RecordingSink())

    assert said(stub_anthropic.requests[-1]) == [("user", f"[[stub bytes=0 stop={stop}]]"), ("user", "go on")]


@pytest_twisted.ensureDeferred
async def test_blanks_are_no_message(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """An answer of nothing but blanks in a history is left out, and a prompt of nothing else is refused."""
    live = claude()
    await live.backend.open(chat("a", " \n", "b"), RecordingSink())
    assert said(stub_anthropic.requests[-1]) == [("user", "a"), ("user", "b")]
    with pytest.raises(InvalidValue):
        await live.backend.open(chat("  \n"), RecordingSink())

    assert len(stub_anthropic.requests) == 1


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("fault", ["error-after=2", "die-after=2"])
async def test_an_answer_that_breaks_off_is_no_success(fault: str, claude: Make, stub_anthropic: StubAnthropic) -> None:
    """When the API's stream breaks, what came stays sent, the client is told, and the API is not asked again."""
    sink = RecordingSink()
    with pytest.raises(ClaudeProxyError):
        await claude().backend.open(chat(f"[[stub {fault} text=a b c d deltas=4 every=0.05]]"), sink)

    assert sink.text in ("a ", "a b ")
    assert len(stub_anthropic.requests) == 1


@pytest_twisted.ensureDeferred
async def test_a_refusal_is_a_content_filter(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """A model that refuses ends the answer with content_filter."""
    sink = RecordingSink()
    await claude().backend.open(chat("[[stub text=No. stop=refusal]]"), sink)

    assert (sink.text, sink.finished.reason) == ("No.", FinishReason.CONTENT_FILTER)
    assert len(stub_anthropic.requests) == 1


@pytest_twisted.ensureDeferred
async def test_thinking_is_reasoning_and_not_answer(claude: Make) -> None:
    """What the model thinks arrives as reasoning, apart from the answer."""
    sink = RecordingSink()
    await claude().backend.open(chat("[[stub thinking=let me see text=42]]"), sink)

    assert (sink.reasoning, sink.text) == ("let me see", "42")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("directive", "expected"),
    [
        ("status=400 message=messages: bad", RequestRefused),
        ("status=400 message=prompt is too long: 9 tokens > 8 maximum", ContextLengthExceeded),
        ("status=401 message=invalid x-api-key", BackendAuthFailed),
        ("status=403 message=forbidden", BackendAuthFailed),
        ("status=404 message=model: nope", ModelNotFound),
        ("status=413 message=too large", ContextLengthExceeded),
        ("status=429 message=slow down", RateLimited),
        ("status=429 message=Claude AI usage limit reached|1795253324", UsageLimitReached),
        ("status=500 message=oops", BackendError),
        ("status=529 message=overloaded", Overloaded),
    ],
)
async def test_the_apis_errors_have_their_own_faces(
    directive: str, expected: type[ClaudeProxyError], claude: Make
) -> None:
    """Each failure of the API behind the CLI is told apart, with nothing sent before it, and no key in its text."""
    secret = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789"
    sink = RecordingSink()
    with pytest.raises(ClaudeProxyError) as raised:
        await claude().backend.open(chat(f"[[stub {directive} {secret}]]"), sink)

    assert raised.type is expected
    assert secret not in raised.value.message
    assert sink.events == []


@pytest_twisted.ensureDeferred
async def test_a_failed_turn_leaves_the_session_as_it_was(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """After a failure the session goes on from its last answer, and the failed words are not in it."""
    live = claude()
    first = RecordingSink()
    await live.backend.open(chat("one"), first)
    assert first.head is not None
    with pytest.raises(Overloaded):
        await live.backend.open(chat("[[stub status=529]]", session_id=first.head.session_id), RecordingSink())
    await live.backend.open(chat("two", session_id=first.head.session_id), RecordingSink())

    assert said(stub_anthropic.requests[-1]) == [("user", "one"), ("assistant", first.text), ("user", "two")]


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_stops_the_model(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """When the client goes, the request behind the CLI is dropped and the process's place is free within a second."""
    live = claude()
    sink = RecordingSink()
    running = live.backend.open(chat("[[stub deltas=2000 every=0.01]]"), sink)
    await sink.first_event()
    departed = stub_anthropic.next_departure()
    count = len(sink.events)
    left = reactor.seconds()  # type: ignore[attr-defined]
    running.cancel()
    with pytest.raises(CancelledError):
        await running
    await departed.addTimeout(1.0, reactor)
    await live.all_ended(within=1.0)

    assert reactor.seconds() - left < 1.0  # type: ignore[attr-defined]
    assert live.backend.health().live == 0
    assert len(sink.events) == count


@pytest_twisted.ensureDeferred
async def test_a_turn_that_takes_too_long_is_a_timeout(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """At the request's time limit the client is told so, and the model is stopped."""
    live = claude(REQUEST_TIMEOUT_MS="4000")
    first = RecordingSink()
    await live.backend.open(chat("warm"), first)
    departed = stub_anthropic.next_departure()
    with pytest.raises(UpstreamTimeout):
        await live.backend.open(chat("warm", first.text, "[[stub hang]]"), RecordingSink())
    await departed.addTimeout(1.0, reactor)


@pytest_twisted.ensureDeferred
async def test_a_slow_client_pauses_the_cli(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """While the client does not read, no event is produced; once it reads again, nothing is missing."""
    live = claude()
    sink = RecordingSink()
    running = live.backend.open(chat("[[stub bytes=400000]]"), sink)
    await sink.first_event()
    assert sink.producer is not None
    sink.producer.pauseProducing()
    await deferLater(reactor, 0, lambda: None)
    paused_at = len(sink.events)
    # Two turns of another conversation pass meanwhile: time enough for anything that still ran.
    await live.backend.open(chat("meanwhile"), RecordingSink())
    assert len(sink.events) == paused_at
    sink.producer.resumeProducing()
    await running

    assert len(sink.text) == 400_000


@pytest_twisted.ensureDeferred
async def test_the_longest_idle_conversation_gives_its_place(claude: Make) -> None:
    """With all places taken, a new conversation gets that of the one idle longest, which can be resumed later."""
    live = claude(MAX_CONCURRENT_PROCESSES="2")
    oldest, newer, newest = RecordingSink(), RecordingSink(), RecordingSink()
    await live.backend.open(chat("oldest"), oldest)
    await live.backend.open(chat("newer"), newer)
    await live.backend.open(chat("newest"), newest)
    assert live.most_at_once == 2
    assert newer.head is not None
    await live.backend.open(chat("more", session_id=newer.head.session_id), RecordingSink())
    assert live.started == 3
    assert oldest.head is not None
    resumed = RecordingSink()
    await live.backend.open(chat("more", session_id=oldest.head.session_id), resumed)

    assert resumed.head is not None
    assert resumed.head.session_id == oldest.head.session_id
    assert live.started == 4
    assert live.most_at_once == 2


@pytest_twisted.ensureDeferred
async def test_when_all_are_busy_the_queue_has_a_limit(claude: Make) -> None:
    """With every process in a turn, a request waits its time and is then told to come back later."""
    live = claude(MAX_CONCURRENT_PROCESSES="1", POOL_QUEUE_TIMEOUT_MS="200")
    sink = RecordingSink()
    running = live.backend.open(chat("[[stub deltas=2000 every=0.01]]"), sink)
    await sink.first_event()
    waiting = live.backend.open(chat("two"), RecordingSink())
    assert live.backend.health().queued == 1
    with pytest.raises(CapacityExceeded) as raised:
        await waiting
    assert raised.value.retry_after
    assert live.backend.health().queued == 0
    running.cancel()
    with pytest.raises(CancelledError):
        await running


@pytest_twisted.ensureDeferred
async def test_parallel_conversations_do_not_mix(claude: Make) -> None:
    """Conversations at the same time each get their own answer."""
    live = claude(MAX_CONCURRENT_PROCESSES="4", POOL_QUEUE_TIMEOUT_MS="30000")
    sinks = [RecordingSink() for _ in range(6)]
    await gatherResults(
        [live.backend.open(chat(f"[[stub text=answer {n} deltas=20]]"), sink) for n, sink in enumerate(sinks)]
    )

    assert [sink.text for sink in sinks] == [f"answer {n}" for n in range(6)]
    assert live.most_at_once <= 4


@pytest_twisted.ensureDeferred
async def test_a_subscriptions_token_serves_as_well(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """With an OAuth token in the place of a key turns work, new and resumed, and the host stays unnamed."""
    live = claude(ANTHROPIC_API_KEY="", CLAUDE_CODE_OAUTH_TOKEN="sk-ant-oat01-test")
    first, resumed = RecordingSink(), RecordingSink()
    await live.backend.open(chat("one", system="S"), first)
    await live.backend.open(chat("one", "an answer from elsewhere", "two", system="S"), resumed)

    request = stub_anthropic.requests[-1]
    assert said(request) == [("user", "one"), ("assistant", "an answer from elsewhere"), ("user", "two")]
    assert request.headers["authorization"] == "Bearer sk-ant-oat01-test"
    assert os.path.expanduser("~") not in repr(request.body["messages"])
    assert os.getcwd() not in repr(request.body["messages"])


@pytest_twisted.ensureDeferred
async def test_processes_wait_and_are_replaced(claude: Make) -> None:
    """The pool keeps its number of booted processes waiting, and each is used by one conversation only."""
    live = claude(WARM_PROCESSES="2")
    live.start()
    await live.warm(2)
    assert live.started == 2
    await live.backend.open(chat("one"), RecordingSink())
    await live.warm(2)

    assert live.backend.health().version is not None
    assert live.backend.health().live == 1
    assert live.started == 3


@pytest_twisted.ensureDeferred
async def test_idle_conversations_do_not_hold_all_places(claude: Make) -> None:
    """However many conversations are idle, processes go on waiting for new ones, and the idle ones can still go on."""
    live = claude(WARM_PROCESSES="1", MAX_CONCURRENT_PROCESSES="3")
    live.start()
    sinks = []
    for number in range(4):
        await live.warm(1)
        sinks.append(RecordingSink())
        await live.backend.open(chat(f"conversation {number}"), sinks[-1])
    await live.warm(1)
    head = sinks[0].head
    assert head is not None
    again = RecordingSink()
    await live.backend.open(chat("go on", session_id=head.session_id), again)

    assert again.text
    assert live.most_at_once <= 3


@pytest_twisted.ensureDeferred
async def test_processes_that_waited_too_long_are_replaced(claude: Make) -> None:
    """A waiting process has an age limit, after which a new one takes its place."""
    live = claude(WARM_PROCESSES="1", MAX_PROCESS_AGE_MS="1000")
    live.start()
    await live.ended_count(1)
    await live.warm(1)

    assert live.started >= 2
    assert live.backend.health().status == "ok"


@pytest_twisted.ensureDeferred
async def test_the_cli_sees_little_of_the_daemons_environment(claude: Make) -> None:
    """The child has its credentials and the names that were allowed, and nothing else of ours."""
    os.environ["CLAUDEPROXY_TEST_SECRET"] = "hidden"
    os.environ["CLAUDEPROXY_TEST_ALLOWED"] = "shown"
    try:
        live = claude(CLAUDE_ENV_PASSTHROUGH="CLAUDEPROXY_TEST_ALLOWED")
        sink = RecordingSink()
        running: Deferred[None] = live.backend.open(chat("[[stub deltas=300 every=0.01]]"), sink)
        await sink.first_event()
        (pid,) = live.pids_alive()
        with open(f"/proc/{pid}/environ", "rb") as environment, open(f"/proc/{pid}/cmdline", "rb") as command:
            names = {entry.partition(b"=")[0].decode() for entry in environment.read().split(b"\0") if entry}
            arguments = command.read()
        working_directory = os.listdir(f"/proc/{pid}/cwd")
        running.cancel()
        with pytest.raises(CancelledError):
            await running
    finally:
        del os.environ["CLAUDEPROXY_TEST_SECRET"], os.environ["CLAUDEPROXY_TEST_ALLOWED"]

    assert names == {
        "PATH",
        "HOME",
        "LANG",
        "TERM",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
        "CLAUDE_CONFIG_DIR",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
        "CLAUDE_CODE_MAX_RETRIES",
        "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK",
        "CLAUDE_CODE_DISABLE_REFUSAL_RETRY",
        "CLAUDE_CODE_DISABLE_LEGACY_MODEL_REMAP",
        "CLAUDE_AGENT_SDK_MCP_NO_PREFIX",
        "ENABLE_TOOL_SEARCH",
        "MAX_MCP_OUTPUT_TOKENS",
        "DISABLE_AUTOUPDATER",
        "CLAUDEPROXY_TEST_ALLOWED",
    }
    assert b"stub" not in arguments
    assert working_directory == []
