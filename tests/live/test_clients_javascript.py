"""
JavaScript clients against the daemon with the real CLI: OpenAI's package, and Vercel's AI SDK by both its providers.

All their cases (``tests/clients``) run against one daemon before the first test; a test looks at what one of them has
seen, and at what has reached the model of it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from tests.live.javascript import Case, play

OPENAI, COMPATIBLE, PROVIDER = "openai", "ai-sdk-openai-compatible", "ai-sdk-openai"

PLAYED = {
    OPENAI: (),  # all
    COMPATIBLE: (),
    # The other provider of the AI SDK differs only in how it writes and reads the protocol.
    PROVIDER: (
        *("generateText", "streamText", "tools", "toolsStreamed", "output", "outputStreamed", "image", "reasoning"),
        *("refusedByTheModel", "errorInTheStream"),
    ),
}
both_providers = pytest.mark.parametrize("client", [COMPATIBLE, PROVIDER])

WORDS = ["eins ", "zwei ", "drei ", "vier"]
ADA = {"name": "Ada “L.” Müller", "age": 36, "languages": ["de", "fr"], "address": {"city": "Zürich"}}
CALLS = [("add", {"a": 40, "b": 2}), ("weather-in_City2", {"city": "Zürich", "unit": "C"})]
RESULTS = ["42", "17 C in Zürich"]
RED_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"

Played = Callable[[str, str], Case]


@pytest_twisted.async_yield_fixture(scope="module")
async def played() -> AsyncIterator[Played]:
    """The cases of all clients, by client and name."""
    cases = await play(reactor, PLAYED)
    yield lambda client, name: cases[client, name]


def arrived(case: Case, at: int = -1) -> Any:
    """The body of a request that has reached the model's API."""
    return case.told[at].body


def content(case: Case, role: str, at: int = -1) -> list[Any]:
    """The blocks of the last message of a role that has reached the model."""
    *_, last = (message for message in arrived(case, at)["messages"] if message["role"] == role)
    return [{"type": "text", "text": last["content"]}] if isinstance(last["content"], str) else last["content"]


def system(case: Case) -> list[str]:
    """The system prompt that has reached the model."""
    return [block["text"] for block in arrived(case)["system"]]


def counts(case: Case) -> tuple[int, int, int]:
    """The tokens of the model's last answer: read, from the cache, written."""
    usage = case.told[-1].usage
    cached = usage["cache_read_input_tokens"]
    return usage["input_tokens"] + usage["cache_creation_input_tokens"] + cached, cached, usage["output_tokens"]


def of_openai(usage: Any) -> tuple[int, int, int]:
    """The same, as OpenAI's package has it."""
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"], usage["completion_tokens"]


def of_ai_sdk(usage: Any) -> tuple[int, int, int]:
    """The same, as the AI SDK has it."""
    assert usage["total"] == usage["input"] + usage["output"]
    return usage["input"], usage["cacheRead"], usage["output"]


def assert_offered(case: Case) -> None:
    """The model was offered the client's functions, to the letter."""
    assert len(case.functions) == 2
    for function, tool in zip(case.functions, arrived(case, 0)["tools"], strict=True):
        assert (tool["name"], tool["description"]) == (function["name"], function["description"])
        assert tool["input_schema"] == function["parameters"]
        assert tool["input_schema"]["$schema"].startswith("http://json-schema.org/")
        assert tool.get("strict") == function.get("strict")


def assert_continued(case: Case) -> None:
    """The model got its own calls and their results, in their order, and the same process went on."""
    calls = [block for block in content(case, "assistant") if block["type"] == "tool_use"]
    results = content(case, "user")
    assert [(call["name"], call["input"]) for call in calls] == CALLS
    assert [result["tool_use_id"] for result in results] == [call["id"] for call in calls]
    assert [result["content"][0]["text"] for result in results] == RESULTS
    assert len(case.told) == len(case.sessions) == 2
    assert case.sessions[0] == case.sessions[1]
    # Another process would have been told what this one knows of its first answer by itself.
    assert calls[0]["id"].startswith("toolu_msg_stub_")


# -- OpenAI's package ---------------------------------------------------------


def test_openai_gets_a_whole_answer(played: Played) -> None:
    """Text, reason, model name and usage come, and the developer's message is the model's instruction."""
    case = played(OPENAI, "chat")

    assert (case.seen["content"], case.seen["finish_reason"]) == ("one two three", "stop")
    assert case.seen["model"] == "sonnet"
    assert of_openai(case.seen["usage"]) == counts(case)
    assert system(case)[-1] == "Be brief."


def test_openai_gets_a_stream(played: Played) -> None:
    """Each delta comes as the model made it, and the usage at the end."""
    case = played(OPENAI, "stream")

    assert case.seen["deltas"] == WORDS
    assert case.seen["models"] == ["sonnet"]
    assert of_openai(case.seen["usage"]) == counts(case)


def test_openais_stream_helper_is_content(played: Played) -> None:
    """The helper, which checks every chunk, puts the answer together."""
    case = played(OPENAI, "streamHelper")

    assert case.seen["deltas"] == WORDS
    assert (case.seen["content"], case.seen["finish_reason"]) == ("".join(WORDS), "stop")
    assert of_openai(case.seen["usage"]) == counts(case)


@pytest.mark.parametrize("name", ["tools", "toolsStreamed"])
def test_openais_tool_loop(name: str, played: Played) -> None:
    """Two calls come in one answer, the results go back in another order, and the model goes on."""
    case = played(OPENAI, name)
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
    case = played(OPENAI, name)

    assert case.seen["roles"] == ["user", "assistant", "tool", "tool", "assistant"]
    assert "; ".join(RESULTS) in case.seen["content"]
    assert_offered(case)
    assert_continued(case)


def test_openais_parse_gives_an_object(played: Played) -> None:
    """The answer is what the zod schema describes, and the model was given that schema."""
    case = played(OPENAI, "parse")

    assert (case.seen["parsed"], case.seen["finish_reason"]) == (ADA, "stop")
    assert json.loads(case.seen["content"]) == ADA
    assert_asked_for(case)


def test_openais_parsed_stream_grows(played: Played) -> None:
    """The object is seen to grow, and is whole in the end."""
    case = played(OPENAI, "parseStreamed")

    assert case.seen["parsed"] == ADA
    assert case.seen["grown"] > 1
    assert_asked_for(case)


def test_openais_parse_gives_arguments(played: Played) -> None:
    """With functions and a schema in one request, the functions' arguments are parsed."""
    case = played(OPENAI, "parseTools")

    assert case.seen["parsed"] == [arguments for _, arguments in CALLS]
    assert_offered(case)
    assert_asked_for(case)


def test_openai_sends_an_image(played: Played) -> None:
    """The bytes of a data URL reach the model, after the text that was said before them."""
    case = played(OPENAI, "image")

    assert case.seen == {"content": "A red pixel.", "finish_reason": "stop"}
    assert_shown(case)


def test_openai_gets_the_reasoning(played: Played) -> None:
    """What the model thought comes beside its words, and counts; the effort is the model's."""
    case = played(OPENAI, "reasoning")

    assert (case.seen["content"], case.seen["reasoning"]) == ("Done.", "Let me think.")
    assert of_openai(case.seen["usage"]) == counts(case)
    assert arrived(case)["output_config"]["effort"] == "low"


def test_openais_error_has_all_its_fields(played: Played) -> None:
    """A wrong parameter is named, and nobody is asked."""
    case = played(OPENAI, "refusedParameter")

    assert (case.seen["kind"], case.seen["status"]) == ("BadRequestError", 400)
    assert (case.seen["code"], case.seen["param"]) == ("invalid_value", "temperature")
    assert case.seen["type"] == "invalid_request_error"
    assert "from 0 to 2" in case.seen["message"]
    assert case.told == []


def test_openai_is_told_of_a_rate_limit(played: Played) -> None:
    """The model's refusal has its own class in the package, and says when to come back."""
    case = played(OPENAI, "refusedByTheModel")

    assert (case.seen["kind"], case.seen["status"]) == ("RateLimitError", 429)
    assert (case.seen["code"], case.seen["type"]) == ("rate_limit_exceeded", "rate_limit_error")
    assert "slow down" in case.seen["message"]
    assert int(case.seen["after"]) > 0


def test_openais_stream_can_fail(played: Played) -> None:
    """What came before an error is seen, and then the error, not an end."""
    seen = played(OPENAI, "errorInTheStream").seen

    assert seen["deltas"] == ["a ", "b "]
    assert (seen["kind"], seen["code"], seen["type"]) == ("APIError", "overloaded", "server_error")


@pytest.mark.parametrize("name", ["abort", "abortBeforeTheFirstToken"])
def test_openai_can_leave(name: str, played: Played) -> None:
    """A client that aborts, within the stream or before it, stops the work within a second."""
    case = played(OPENAI, name)

    assert case.seen["aborted"] is True
    assert case.seen["idleAfter"] < 1000
    assert case.left == len(case.told)


# -- Vercel's AI SDK ----------------------------------------------------------


@both_providers
def test_generate_text(client: str, played: Played) -> None:
    """Text, reason, model name and usage come, nothing is warned of, and the instructions are the model's."""
    case = played(client, "generateText")

    assert (case.seen["text"], case.seen["finishReason"]) == ("one two three", "stop")
    assert (case.seen["model"], case.seen["warnings"]) == ("sonnet", [])
    assert of_ai_sdk(case.seen["usage"]) == counts(case)
    assert system(case)[-1] == "Be brief."


@both_providers
def test_stream_text(client: str, played: Played) -> None:
    """Each delta comes as the model made it, and the usage at the end."""
    case = played(client, "streamText")

    assert (case.seen["deltas"], case.seen["finishReason"]) == (WORDS, "stop")
    assert case.seen["errors"] == []
    assert of_ai_sdk(case.seen["usage"]) == counts(case)


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
    """The one function that the SDK wants called is the one that the model must call."""
    case = played(COMPATIBLE, "requiredTool")

    assert case.seen["steps"][0]["calls"] == [["add", {"a": 1, "b": 2}]]
    assert arrived(case)["tool_choice"] == {"type": "tool", "name": "add"}


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


def test_reasoning_is_apart_from_the_text(played: Played) -> None:
    """What the model thought comes as reasoning, whole and streamed, before the text; the effort is the model's."""
    whole, streamed = played(COMPATIBLE, "reasoning"), played(COMPATIBLE, "reasoningStreamed")

    assert (whole.seen["reasoning"], whole.seen["text"]) == ("Let me think.", "Done.")
    assert (streamed.seen["reasoning"], streamed.seen["text"]) == ("Let me think.", "Done.")
    assert streamed.seen["order"] == ["reasoning-start", "reasoning-end", "text-start", "text-end"]
    assert whole.seen["warnings"] == []
    assert of_ai_sdk(whole.seen["usage"]) == counts(whole)
    assert arrived(whole)["output_config"]["effort"] == "high"


def test_reasoning_does_no_harm_to_who_does_not_read_it(played: Played) -> None:
    """The provider for OpenAI has no reasoning in Chat Completions, and gets the text alone."""
    assert played(PROVIDER, "reasoning").seen["text"] == "Done."


def test_reasoning_before_calls_is_kept(played: Played) -> None:
    """The thoughts that led to calls come back with them, and the model has them as it had them."""
    case = played(COMPATIBLE, "reasoningBeforeTools")

    assert case.seen["reasoning"] == "Two calls."
    assert case.sent[1]["messages"][1]["reasoning_content"] == "Two calls."
    assert content(case, "assistant")[0] == {"type": "thinking", "thinking": "Two calls.", "signature": "c3R1Yg=="}
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
    """What came before an error is seen, and then the error's own words."""
    seen = played(client, "errorInTheStream").seen

    assert seen["deltas"] == ["a ", "b "]
    assert [error["code"] for error in seen["errors"]] == ["overloaded"]
    assert "overloaded" in seen["errors"][0]["message"]


def test_an_abort(played: Played) -> None:
    """A stream that is aborted stops the work within a second."""
    case = played(COMPATIBLE, "abort")

    assert case.seen["last"] == "abort"
    assert case.seen["idleAfter"] < 1000
    assert case.left == len(case.told) == 1


# -- What has reached the model -----------------------------------------------


def assert_asked_for(case: Case) -> None:
    """The model was given the client's schema, to the letter."""
    schema = case.sent[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["name"]["description"] == "The full name."
    assert arrived(case)["output_config"]["format"] == {"type": "json_schema", "schema": schema}


def assert_shown(case: Case) -> None:
    """The model was shown the picture, byte for byte, after the text."""
    text, image = content(case, "user")
    assert text["type"] == "text"
    assert (image["type"], image["source"]["media_type"]) == ("image", "image/png")
    assert base64.b64decode(image["source"]["data"]) == base64.b64decode(RED_PIXEL)
