"""
OpenAI's package for JavaScript, against the daemon with the real CLI.

All its cases (``tests/clients/openai.js``) run against one daemon before the first test; a test looks at what one of
them has seen, and at what has reached the model of it.
"""

from __future__ import annotations

import json
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
    counts,
    system,
)

Played = Callable[[str], Case]


@pytest.fixture(scope="module")
def runtime() -> str:
    """Node.js; all is skipped where it, its packages or the CLI cannot be had."""
    real_cli()
    return node()


@pytest_twisted.async_yield_fixture(scope="module")
async def played(runtime: str) -> AsyncIterator[Played]:
    """The cases, by name."""
    cases = await play(reactor, runtime, {"openai": ()})
    yield lambda name: cases["openai", name]


def tokens(usage: Any) -> tuple[int, int, int]:
    """The tokens that the client was told of: read, from the cache, written."""
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"], usage["completion_tokens"]


def test_openai_gets_a_whole_answer(played: Played) -> None:
    """Text, reason, model name and usage come, and the developer's message is the model's instruction."""
    case = played("chat")

    assert (case.seen["content"], case.seen["finish_reason"]) == ("one two three", "stop")
    assert case.seen["model"] == "sonnet"
    assert tokens(case.seen["usage"]) == counts(case)
    assert system(case)[-1] == "Be brief."


def test_openai_gets_a_stream(played: Played) -> None:
    """Each delta comes as the model made it, and the usage at the end."""
    case = played("stream")

    assert case.seen["deltas"] == WORDS
    assert case.seen["models"] == ["sonnet"]
    assert tokens(case.seen["usage"]) == counts(case)


def test_openais_stream_helper_is_content(played: Played) -> None:
    """The helper, which checks every chunk, puts the answer together."""
    case = played("streamHelper")

    assert case.seen["deltas"] == WORDS
    assert (case.seen["content"], case.seen["finish_reason"]) == ("".join(WORDS), "stop")
    assert tokens(case.seen["usage"]) == counts(case)


@pytest.mark.parametrize("name", ["tools", "toolsStreamed"])
def test_openais_tool_loop(name: str, played: Played) -> None:
    """Two calls come in one answer, the results go back in another order, and the model goes on."""
    case = played(name)
    calls = [(call["name"], json.loads(call["text"])) for call in case.seen["calls"]]

    assert (calls, case.seen["first"]) == (CALLS, {"content": None, "finish_reason": "tool_calls"})
    assert [call["type"] for call in case.seen["calls"]] == ["function", "function"]
    assert case.seen["last"]["finish_reason"] == "stop"
    assert "; ".join(RESULTS) in case.seen["last"]["content"]
    assert [function["strict"] for function in case.functions] == [True, True]
    assert_offered(case)
    assert_continued(case)


@pytest.mark.parametrize("name", ["runTools", "runToolsStreamed"])
def test_openais_tool_runner(name: str, played: Played) -> None:
    """The helper that runs the functions by itself comes to an answer."""
    case = played(name)

    assert case.seen["roles"] == ["user", "assistant", "tool", "tool", "assistant"]
    assert "; ".join(RESULTS) in case.seen["content"]
    assert_offered(case)
    assert_continued(case)


def test_openais_parse_gives_an_object(played: Played) -> None:
    """The answer is what the zod schema describes, and the model was given that schema."""
    case = played("parse")

    assert (case.seen["parsed"], case.seen["finish_reason"]) == (ADA, "stop")
    assert json.loads(case.seen["content"]) == ADA
    assert_asked_for(case)


def test_openais_parsed_stream_grows(played: Played) -> None:
    """The object is seen to grow, and is whole in the end."""
    case = played("parseStreamed")

    assert case.seen["parsed"] == ADA
    assert case.seen["grown"] > 1
    assert_asked_for(case)


def test_openais_parse_gives_arguments(played: Played) -> None:
    """With functions and a schema in one request, the functions' arguments are parsed."""
    case = played("parseTools")

    assert case.seen["parsed"] == [arguments for _, arguments in CALLS]
    assert_offered(case)
    assert_asked_for(case)


def test_openai_sends_an_image(played: Played) -> None:
    """The bytes of a data URL reach the model, after the text that was said before them."""
    case = played("image")

    assert case.seen == {"content": "A red pixel.", "finish_reason": "stop"}
    assert_shown(case)


def test_openai_sends_a_document(played: Played) -> None:
    """A PDF reaches the model, byte for byte and with its name."""
    case = played("document")

    assert case.seen == {"content": "An empty page.", "finish_reason": "stop"}
    assert_read(case)


def test_openai_gets_the_reasoning(played: Played) -> None:
    """What the model thought comes beside its words, and counts; the effort is the model's."""
    case = played("reasoning")

    assert (case.seen["content"], case.seen["reasoning"]) == ("Done.", "Let me think.")
    assert tokens(case.seen["usage"]) == counts(case)
    assert arrived(case)["output_config"]["effort"] == "low"


def test_openai_gets_the_reasoning_as_it_comes(played: Played) -> None:
    """A stream has it by both names that clients look for."""
    seen = played("reasoningStreamed").seen

    assert seen == {"content": "Done.", "reasoning_content": "Let me think.", "reasoning": "Let me think."}


def test_openais_error_has_all_its_fields(played: Played) -> None:
    """A wrong parameter is named, and nobody is asked."""
    case = played("refusedParameter")

    assert (case.seen["kind"], case.seen["status"]) == ("BadRequestError", 400)
    assert (case.seen["code"], case.seen["param"]) == ("invalid_value", "temperature")
    assert case.seen["type"] == "invalid_request_error"
    assert "from 0 to 2" in case.seen["message"]
    assert case.told == []


def test_openai_is_told_of_a_rate_limit(played: Played) -> None:
    """The model's refusal has its own class in the package, and says when to come back."""
    case = played("refusedByTheModel")

    assert (case.seen["kind"], case.seen["status"]) == ("RateLimitError", 429)
    assert (case.seen["code"], case.seen["type"]) == ("rate_limit_exceeded", "rate_limit_error")
    assert "slow down" in case.seen["message"]
    assert int(case.seen["after"]) > 0


def test_openais_stream_can_fail(played: Played) -> None:
    """What came before an error is seen, and then the error, not an end."""
    seen = played("errorInTheStream").seen

    assert seen["deltas"] == ["a ", "b "]
    assert (seen["kind"], seen["code"], seen["type"]) == ("APIError", "overloaded", "server_error")


@pytest.mark.parametrize("name", ["abort", "abortBeforeTheFirstToken"])
def test_openai_can_leave(name: str, played: Played) -> None:
    """A client that aborts, within the stream or before it, stops the work within a second."""
    case = played(name)

    assert case.seen["aborted"] is True
    assert case.seen["idleAfter"] < 1000
    assert case.left == len(case.told)
