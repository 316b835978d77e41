"""
Conversations with the Claude backend on the real CLI, against a stub of the API behind it.
"""

from __future__ import annotations

import pytest
import pytest_twisted

from claudeproxy.core.events import FinishReason, TextDelta
from claudeproxy.errors import (
    SessionBusy,
    SessionNotFound,
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
