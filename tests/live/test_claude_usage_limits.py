"""
The usage limits of a subscription, as the real CLI reports them.
"""

from __future__ import annotations

import pytest
import pytest_twisted

from claudeproxy.core.health import UsageLimit
from claudeproxy.errors import ClaudeProxyError, RateLimited, UsageLimitReached
from tests.live.claude import LiveBackend, Make, RecordingSink, chat

SUBSCRIPTION = {"ANTHROPIC_API_KEY": "", "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-test"}


async def refused(live: LiveBackend, directive: str) -> ClaudeProxyError:
    """The error of a turn that the stub refuses."""
    with pytest.raises(ClaudeProxyError) as raised:
        await live.backend.open(chat(f"[[stub {directive}]]"), RecordingSink())
    return raised.value


def limits(live: LiveBackend) -> list[tuple[str, str]]:
    """What health says of the account's limits."""
    return [(limit.kind, limit.status) for limit in live.backend.health().usage_limits]


@pytest_twisted.ensureDeferred
async def test_a_reached_usage_limit_says_when_it_is_over(claude: Make) -> None:
    """The client is told the API's own reset time, and not to try again before; health shows the limit."""
    live = claude(**SUBSCRIPTION)
    error = await refused(live, "status=429 usage=rejected resets=3600")

    assert isinstance(error, UsageLimitReached)
    assert error.retry_after is not None
    assert 3500 < error.retry_after <= 3600
    assert error.permanent
    assert "5-hour limit" in error.message
    assert limits(live) == [("five_hour", "rejected")]


@pytest_twisted.ensureDeferred
async def test_a_reached_limit_keeps_nobody_from_asking(claude: Make) -> None:
    """The next request is sent all the same; the API may answer it, and what it then says is what health shows."""
    live = claude(**SUBSCRIPTION)
    await refused(live, "status=429 usage=rejected resets=3600")
    sink = RecordingSink()
    await live.backend.open(chat("[[stub usage=allowed resets=3600 text=here]]"), sink)

    assert sink.text == "here"
    assert limits(live) == []


@pytest_twisted.ensureDeferred
async def test_a_warning_is_shown_and_blocks_nothing(claude: Make) -> None:
    """Near the limit answers come as ever; health tells how near."""
    live = claude(**SUBSCRIPTION)
    for _ in range(2):
        sink = RecordingSink()
        await live.backend.open(chat("[[stub usage=allowed_warning resets=3600 text=fine]]"), sink)
        assert sink.text == "fine"
    (limit,) = live.backend.health().usage_limits

    assert limit == UsageLimit("five_hour", "allowed_warning", limit.resets_at, 0.95)


@pytest_twisted.ensureDeferred
async def test_a_busy_api_is_no_usage_limit(claude: Make) -> None:
    """A 429 that is not the account's limit is said to pass soon, and health shows no limit."""
    live = claude(**SUBSCRIPTION)
    error = await refused(live, "status=429 message=slow down")

    assert isinstance(error, RateLimited)
    assert (error.retry_after, error.permanent) == (10, False)
    assert limits(live) == []
