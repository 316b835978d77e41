"""
The processes of the real CLI: places, queue, waiting ones, and what they see.
"""

from __future__ import annotations

import os

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred, gatherResults

from claudeproxy.core.tools import Tool
from claudeproxy.errors import CapacityExceeded
from claudeproxy.testing.anthropic import StubAnthropic
from tests.live.claude import Make, RecordingSink, chat, said, until


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
@pytest.mark.parametrize("tools", [(), (Tool("f"), Tool("g"))], ids=["plain", "with functions"])
async def test_what_a_process_did_while_it_waited_leaves_no_trace(
    tools: tuple[Tool, ...], claude: Make, stub_anthropic: StubAnthropic
) -> None:
    """The model is told the same by a process that waited, and rehearsed meanwhile, as by one just started."""
    for live in (claude(), claude(WARM_PROCESSES="1")):
        if stub_anthropic.requests:
            live.start()
            await live.warm(1)
        await live.backend.open(chat("[[stub call=f]]" if tools else "one", tools=tools), RecordingSink())
        await live.stop()
    cold, warm = (dict(each.body) for each in stub_anthropic.requests)
    # The id of the conversation, as the CLI made it up.
    assert cold.pop("metadata") != warm.pop("metadata")

    assert warm == cold
    assert [tool["name"] for tool in warm["tools"]] == [tool.name for tool in tools]


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
    await until(live.clock, lambda: live.started >= 2)

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
        "CLAUDE_CODE_GB_DISK_CACHE_WHEN_TELEMETRY_OFF",
        "CLAUDE_CODE_DISABLE_LEGACY_MODEL_REMAP",
        "CLAUDE_CODE_THINKING_DISPLAY_UPDATES",
        "ENABLE_TOOL_SEARCH",
        "MAX_MCP_OUTPUT_TOKENS",
        "DISABLE_COMPACT",
        "CLAUDE_CODE_BLOCKING_LIMIT_OVERRIDE",
        "DISABLE_AUTOUPDATER",
        "CLAUDEPROXY_TEST_ALLOWED",
    }
    assert b"stub" not in arguments
    assert working_directory == []
