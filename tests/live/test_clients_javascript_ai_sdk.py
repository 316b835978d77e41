"""
Vercel's AI SDK, by both its providers for Chat Completions, against the daemon with the real CLI.

All cases (``tests/clients/ai_sdk.js``) run against one daemon before the first test; a test looks at what one of them
has seen, and at what has reached the model of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from tests.helpers import real_cli
from tests.live.javascript_clients import Case, node, play
from tests.live.javascript_told import (
    ADA,
    CALLS,
    RESULTS,
    WORDS,
    arrived,
    assert_asked_for,
    assert_continued,
    assert_offered,
    assert_read,
    assert_shown,
    content,
    counts,
    system,
)

COMPATIBLE, PROVIDER = "ai-sdk-openai-compatible", "ai-sdk-openai"
CASES = {
    COMPATIBLE: (),  # all
    # The other provider differs only in how it writes and reads the protocol.
    PROVIDER: (
        *("generateText", "streamText", "tools", "toolsStreamed", "output", "outputStreamed", "image", "document"),
        *("reasoning", "refusedByTheModel", "errorInTheStream"),
    ),
}
both_providers = pytest.mark.parametrize("client", [COMPATIBLE, PROVIDER])

Played = Callable[[str, str], Case]


@pytest.fixture(scope="module")
def runtime() -> str:
    """Node.js; all is skipped where it, its packages or the CLI cannot be had."""
    real_cli()
    return node()


@pytest_twisted.async_yield_fixture(scope="module")
async def played(runtime: str) -> AsyncIterator[Played]:
    """The cases, by provider and name."""
    cases = await play(reactor, runtime, CASES)
    yield lambda client, name: cases[client, name]


def tokens(usage: Any) -> tuple[int, int, int]:
    """The tokens that the client was told of: read, from the cache, written."""
    assert usage["total"] == usage["input"] + usage["output"]
    return usage["input"], usage["cacheRead"], usage["output"]


@both_providers
def test_generate_text(client: str, played: Played) -> None:
    """Text, reason, model name and usage come, nothing is warned of, and the instructions are the model's."""
    case = played(client, "generateText")

    assert (case.seen["text"], case.seen["finishReason"]) == ("one two three", "stop")
    assert (case.seen["model"], case.seen["warnings"]) == ("sonnet", [])
    assert tokens(case.seen["usage"]) == counts(case)
    assert system(case)[-1] == "Be brief."


@both_providers
def test_stream_text(client: str, played: Played) -> None:
    """Each delta comes as the model made it, and the usage at the end."""
    case = played(client, "streamText")

    assert (case.seen["deltas"], case.seen["finishReason"]) == (WORDS, "stop")
    assert case.seen["errors"] == []
    assert tokens(case.seen["usage"]) == counts(case)


def test_a_history_is_recognised(played: Played) -> None:
    """What the SDK sends back as the history goes on in the same process."""
    case = played(COMPATIBLE, "history")

    assert case.seen["text"] == "Your name is Ada."
    assert case.sessions[0] == case.sessions[1]


@both_providers
@pytest.mark.parametrize("name", ["tools", "toolsStreamed"])
def test_a_tool_loop(client: str, name: str, played: Played) -> None:
    """Both functions run with what the model gave, and it goes on with what they returned."""
    case = played(client, name)
    first, last = case.seen["steps"]

    assert (first["finishReason"], last["finishReason"]) == ("tool-calls", "stop")
    assert [tuple(call) for call in first["calls"]] == CALLS
    assert (first["results"], first["text"]) == (RESULTS, "")
    assert "; ".join(RESULTS) in case.seen["text"]
    assert first["warnings"] == last["warnings"] == case.seen.get("errors", [])
    assert_offered(case)
    assert_continued(case)


def test_a_tool_loop_of_many_steps(played: Played) -> None:
    """A result that leads to another call does so within one process."""
    case = played(COMPATIBLE, "manySteps")

    assert (case.seen["sums"], case.seen["steps"]) == ([2, 3, 4], 4)
    assert "the sum is 4" in case.seen["text"]
    assert len(set(case.sessions)) == 1


def test_a_tool_that_must_be_called(played: Played) -> None:
    """The one function that the SDK wants called is the one that the model is told to call."""
    case = played(COMPATIBLE, "requiredTool")

    assert case.seen["steps"][0]["calls"] == [["add", {"a": 1, "b": 2}]]
    assert [tool["name"] for tool in arrived(case)["tools"]] == ["add"]
    assert "Call the function add." in content(case, "user")[-1]["text"]


@both_providers
@pytest.mark.parametrize("name", ["output", "outputStreamed"])
def test_an_object(client: str, name: str, played: Played) -> None:
    """The answer is what the zod schema describes, grows when it is streamed, and the model was given that schema."""
    case = played(client, name)

    assert case.seen["output"] == ADA
    assert case.seen.get("warnings", []) == []
    assert case.seen.get("grown", 2) > 1
    assert_asked_for(case)


@pytest.mark.parametrize("name", ["generateObject", "streamObject"])
def test_an_object_by_the_older_functions(name: str, played: Played) -> None:
    """So it is with the functions that the SDK had for it before."""
    case = played(COMPATIBLE, name)

    assert case.seen["output"] == ADA
    assert case.seen.get("grown", 2) > 1
    assert_asked_for(case)


def test_an_object_after_a_tool_loop(played: Played) -> None:
    """Functions and a schema in one request: first a call, then the object."""
    case = played(COMPATIBLE, "outputAfterTools")

    assert (case.seen["output"], case.seen["steps"]) == (ADA, 2)
    assert len(set(case.sessions)) == 1
    assert_asked_for(case)


def test_json_without_a_schema(played: Played) -> None:
    """json_object is answered with JSON."""
    case = played(COMPATIBLE, "json")

    assert case.sent[0]["response_format"] == {"type": "json_object"}
    assert case.seen["output"] == ADA


@both_providers
def test_an_image(client: str, played: Played) -> None:
    """The bytes of an image reach the model, after the text that was said before them."""
    case = played(client, "image")

    assert case.seen["text"] == "A red pixel."
    assert_shown(case)


@both_providers
def test_a_document(client: str, played: Played) -> None:
    """A PDF reaches the model, byte for byte and with its name."""
    case = played(client, "document")

    assert case.seen["text"] == "An empty page."
    assert_read(case)


def test_reasoning_is_apart_from_the_text(played: Played) -> None:
    """What the model thought comes as reasoning, whole and streamed, before the text; the effort is the model's."""
    whole, streamed = played(COMPATIBLE, "reasoning"), played(COMPATIBLE, "reasoningStreamed")

    assert (whole.seen["reasoning"], whole.seen["text"]) == ("Let me think.", "Done.")
    assert (streamed.seen["reasoning"], streamed.seen["text"]) == ("Let me think.", "Done.")
    assert streamed.seen["order"] == ["reasoning-start", "reasoning-end", "text-start", "text-end"]
    assert whole.seen["warnings"] == []
    assert tokens(whole.seen["usage"]) == counts(whole)
    assert arrived(whole)["output_config"]["effort"] == "high"


def test_reasoning_does_no_harm_to_who_does_not_read_it(played: Played) -> None:
    """The provider for OpenAI has no reasoning in Chat Completions, and gets the text alone."""
    assert played(PROVIDER, "reasoning").seen["text"] == "Done."


def test_reasoning_before_calls_is_kept(played: Played) -> None:
    """The thoughts that led to calls come back with them, and the model has them as it had them."""
    case = played(COMPATIBLE, "reasoningBeforeTools")

    assert case.seen["reasoning"] == "Two calls."
    assert case.sent[1]["messages"][1]["reasoning_content"] == "Two calls."
    thought = content(case, "assistant")[0]
    assert thought == {"type": "thinking", "thinking": "Two calls.", "signature": thought["signature"]}
    assert_continued(case)


@both_providers
def test_a_rate_limit(client: str, played: Played) -> None:
    """The model's refusal keeps its status and its words, and may be tried again later."""
    seen = played(client, "refusedByTheModel").seen

    assert (seen["kind"], seen["statusCode"], seen["isRetryable"]) == ("AI_APICallError", 429, True)
    assert seen["error"]["code"] == "rate_limit_exceeded"
    assert "slow down" in seen["message"]
    assert int(seen["after"]) > 0


@both_providers
def test_an_error_in_the_stream(client: str, played: Played) -> None:
    """What came before an error is seen, then the error's own words, and the answer ends with it."""
    seen = played(client, "errorInTheStream").seen

    assert seen["deltas"] == ["a ", "b "]
    assert [error["code"] for error in seen["errors"]] == ["overloaded"]
    assert "overloaded" in seen["errors"][0]["message"]
    assert (seen["thrown"], seen["ends"]) == (None, ["error"])


def test_an_abort(played: Played) -> None:
    """A stream that is aborted stops the work within a second."""
    case = played(COMPATIBLE, "abort")

    assert case.seen["last"] == "abort"
    assert case.seen["idleAfter"] < 1000
    assert case.left == len(case.told) == 1
