"""
What a Chat Completions request means, and what is wrong with it.
"""

from __future__ import annotations

from typing import Any

import pytest

from claudeproxy.core.chat import Message, Role, Text, TurnSettings
from claudeproxy.errors import InvalidValue, MissingParameter, UnsupportedParameter
from claudeproxy.wire.openai_chat import ChatBody, decode_request
from tests.unit.chat_requests import HELLO, body, case_name, refusal

# -- The whole ----------------------------------------------------------------


def test_the_smallest_request() -> None:
    """A model and a message are enough; everything else is as if it were not there."""
    assert decode_request(body()) == ChatBody(
        model="gpt-4o",
        messages=(Message(Role.USER, "Hello"),),
        system="",
        tools=(),
        settings=TurnSettings(),
        stream=False,
        include_usage=False,
        ignored=(),
    )


def test_a_conversation_keeps_its_order_and_roles() -> None:
    """Users in a row, empty answers, system messages, names: nothing is merged, moved or lost."""
    decoded = decode_request(
        body(
            [
                {"role": "system", "content": "Be brief."},
                {"role": "developer", "content": "Be polite."},
                {"role": "user", "content": "One"},
                {"role": "user", "content": "Two"},
                {"role": "assistant", "content": None, "refusal": None, "annotations": [], "audio": None},
                {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
                {"role": "assistant", "content": "Three", "reasoning_content": "Hm", "tool_calls": []},
                {"role": "user", "content": "Four", "name": "Ann"},
                {"role": "system", "content": ""},
                {"role": "system", "content": "Be nice.", "name": "policy"},
            ]
        )
    )

    assert decoded.messages == (
        Message(Role.USER, "One"),
        Message(Role.USER, "Two"),
        Message(Role.ASSISTANT, ""),
        Message(Role.SYSTEM, "Be kind."),
        Message(Role.ASSISTANT, "Three"),
        Message(Role.USER, (Text("Ann:"), Text("Four"))),
        Message(Role.SYSTEM, ""),
        Message(Role.SYSTEM, (Text("policy:"), Text("Be nice."))),
    )
    assert decoded.system == "Be brief.\n\nBe polite."


def test_the_model_sees_who_wrote_a_system_prompt() -> None:
    """A name stands before what its bearer says, as it does with users; an answer has no name."""
    decoded = decode_request(
        body(
            [
                {"role": "system", "content": "Be brief.", "name": "policy"},
                {"role": "developer", "content": [{"type": "text", "text": "Be polite."}], "name": "Ann"},
                {"role": "developer", "content": "Be kind.", "name": ""},
                *HELLO,
                {"role": "assistant", "content": "Yes?", "name": "Bob"},
                *HELLO,
            ]
        )
    )

    assert decoded.system == "policy:\nBe brief.\n\nAnn:\nBe polite.\n\nBe kind."
    assert decoded.messages[1] == Message(Role.ASSISTANT, "Yes?")


@pytest.mark.parametrize(
    ("messages", "system", "asked"),
    [
        ([{"role": "system", "content": "Write a poem."}], "", "Write a poem."),
        (
            [{"role": "developer", "content": "Be brief."}, {"role": "system", "content": "Write.", "name": "Ann"}],
            "Be brief.",
            [Text("Ann:"), Text("Write.")],
        ),
        (
            [{"role": "system", "content": text} for text in ("Be brief.", "Write.", " ", "")],
            "Be brief.",
            "Write.",
        ),
    ],
)
def test_where_only_the_system_speaks_it_is_answered(
    messages: list[dict[str, Any]], system: str, asked: str | list[Text]
) -> None:
    """As OpenAI does: the last of its messages that says something is asked, those before it are the system prompt."""
    decoded = decode_request(body(messages))

    assert decoded.system == system
    assert decoded.messages == (Message(Role.USER, asked),)


def test_the_system_asks_where_only_the_model_has_spoken() -> None:
    """Chats that begin with a greeting ask for the next words so; without such a request it is the system prompt."""
    prompt, greeting = {"role": "system", "content": "Be kind."}, {"role": "assistant", "content": "Hello!"}
    request = {"role": "system", "content": "Write the next words."}
    later, first = decode_request(body([prompt, greeting, request])), decode_request(body([prompt, greeting]))

    assert later.system == "Be kind."
    assert later.messages == (Message(Role.ASSISTANT, "Hello!"), Message(Role.USER, "Write the next words."))
    assert first.system == ""
    assert first.messages == (Message(Role.USER, "Be kind."), Message(Role.ASSISTANT, "Hello!"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text", "text"),
        ("", ""),
        (
            [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}],
            [Text("a"), Text("b")],
        ),
        ([{"type": "text", "text": "a", "prompt_cache_breakpoint": True, "text2": 1}], "a"),
        ([], []),
        ("a\u0000b \U0001f600", "a\u0000b \U0001f600"),
    ],
)
def test_content_is_text_or_parts(content: object, said: str | list[Text]) -> None:
    """Parts stay apart, and what else stands on a part does no harm."""
    assert decode_request(body([{"role": "user", "content": content}])).messages == (Message(Role.USER, said),)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({}, ""),
        ({"content": None}, ""),
        ({"content": ""}, ""),
        ({"content": []}, []),
        ({"content": None, "refusal": "No."}, "No."),
        ({"content": [{"type": "refusal", "refusal": "No."}]}, "No."),
        (
            {"content": [{"type": "text", "text": "Well."}, {"type": "refusal", "refusal": "No."}]},
            [Text("Well."), Text("No.")],
        ),
        ({"content": "Yes.", "tool_calls": None, "function_call": None}, "Yes."),
    ],
)
def test_an_answer_comes_back_in_any_form_that_clients_keep(message: dict[str, Any], said: str | list[Text]) -> None:
    """Answers without content, and refusals in either place, are taken as history."""
    decoded = decode_request(body([*HELLO, {"role": "assistant", **message}, *HELLO]))

    assert decoded.messages[1] == Message(Role.ASSISTANT, said)


# -- What is wrong ------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_body", "param"),
    [
        (b"{}", "model"),
        (b'{"messages": []}', "model"),
        (b'{"model": "", "messages": []}', "model"),
        (b'{"model": "m"}', "messages"),
        (body([{}]), "messages[0].role"),
        (body([*HELLO, {"role": "user"}]), "messages[1].content"),
        (body([{"role": "system", "content": None}, *HELLO]), "messages[0].content"),
        (body([{"role": "user", "content": [{}]}]), "messages[0].content[0].type"),
        (body([{"role": "user", "content": [{"type": "text"}]}]), "messages[0].content[0].text"),
        (body([*HELLO, {"role": "assistant", "content": [{"type": "refusal"}]}]), "messages[1].content[0].refusal"),
        (body(response_format={}), "response_format.type"),
        (body(prediction={}), "prediction.type"),
        (body(prediction={"type": "content"}), "prediction.content"),
        (body(prediction={"type": "content", "content": [{"type": "text"}]}), "prediction.content[0].text"),
    ],
    ids=case_name,
)
def test_what_is_missing_is_named(request_body: bytes, param: str) -> None:
    """The client is told the full path of the parameter that it left out."""
    assert refusal(request_body) == (MissingParameter, param)


@pytest.mark.parametrize(
    ("request_body", "param", "message"),
    [
        (b"[]", None, "The body must be a JSON object, got an array."),
        (b"null", None, "The body must be a JSON object, got null."),
        (b'"text"', None, "The body must be a JSON object, got a string."),
        (b'{"model": 1}', "model", "expected a string, got an integer"),
        (b'{"model": null, "messages": []}', "model", "expected a string, got null"),
        (body(1), "messages", "expected an array, got an integer"),
        (body("x"), "messages", "expected an array, got a string"),
        (body([]), "messages", "expected an array of at least one message"),
        (body([1]), "messages[0]", "expected an object, got an integer"),
        (body([*HELLO, {"role": 123}]), "messages[1].role", "'system', 'tool', 'user', got an integer"),
        (body([{"role": "robot"}]), "messages[0].role", "got 'robot'"),
        (body([{"role": "robot" * 100}]), "messages[0].role", "got 'robotrobotrobotrobotrobotrobotrobotrobot...'"),
        (
            body([{"role": "user", "content": 1}]),
            "messages[0].content",
            "expected a string or an array, got an integer",
        ),
        (body([{"role": "user", "content": ["x"]}]), "messages[0].content[0]", "expected an object, got a string"),
        (body([{"role": "user", "content": [{"type": 1}]}]), "messages[0].content[0].type", "expected a string"),
        (body([{"role": "user", "content": [{"type": "x"}]}]), "messages[0].content[0].type", "expected one of 'text'"),
        (
            body([{"role": "user", "content": [{"type": "refusal", "refusal": "x"}]}]),
            "messages[0].content[0].type",
            "expected one of 'text'",
        ),
        (body([{"role": "assistant", "content": "x"}]), "messages", "at least one message of role 'user'"),
        (body([{"role": "system", "content": " "}]), "messages", "at least one message of role 'user'"),
        (body(stream="yes"), "stream", "expected true or false, got a string"),
        (body(stream=1), "stream", "expected true or false, got an integer"),
        (body(stream_options=True), "stream_options", "expected an object, got a boolean"),
        (body(stream_options={"include_usage": 1}), "stream_options.include_usage", "expected true or false"),
        (body(temperature=2.1), "temperature", "expected a number from 0 to 2"),
        (body(temperature=-1), "temperature", "expected a number from 0 to 2"),
        (body(temperature="0.5"), "temperature", "expected a number from 0 to 2, got a string"),
        (body(top_p=1.01), "top_p", "expected a number from 0 to 1"),
        (body(frequency_penalty=3), "frequency_penalty", "expected a number from -2 to 2"),
        (body(presence_penalty=-2.5), "presence_penalty", "expected a number from -2 to 2"),
        (body(max_tokens=0), "max_tokens", "expected an integer from 1 to 2147483647"),
        (body(max_tokens=-2), "max_tokens", "expected an integer from 1 to 2147483647"),
        (body(max_tokens=1.5), "max_tokens", "expected an integer, got a number"),
        (body(max_completion_tokens=True), "max_completion_tokens", "expected an integer, got a boolean"),
        (body(max_tokens=10**400), "max_tokens", "expected an integer from 1 to 2147483647"),
        (body(n=0), "n", "expected an integer from 1 to 128"),
        (body(n=129), "n", "expected an integer from 1 to 128"),
        (body(stop=""), "stop", "expected a string of 1 to 1000 characters"),
        (body(stop=["a", ""]), "stop[1]", "expected a string of 1 to 1000 characters"),
        (body(stop=["a", " " * 1001]), "stop[1]", "expected a string of 1 to 1000 characters"),
        (body(stop=["a", "b", "c", "d", "e"]), "stop", "an array of at most 4 items"),
        (body(stop=5), "stop", "expected a string of 1 to 1000 characters or an array of at most 4 items, got"),
        (body(reasoning_effort="huge"), "reasoning_effort", "'minimal', 'none', 'xhigh', got 'huge'"),
        (body(seed="x"), "seed", "expected an integer, got a string"),
        (body(user=1), "user", "expected a string, got an integer"),
        (body(store="no"), "store", "expected true or false"),
        (body(metadata={"k": 1}), "metadata", "an entry of 'metadata': expected a string of at most 512 characters"),
        (body(metadata={"k": "v" * 513}), "metadata", "expected a string of at most 512 characters"),
        (body(metadata={"k" * 65: "v"}), "metadata", "a key of 'metadata': expected a string of at most 64 characters"),
        (body(metadata=dict.fromkeys("abcdefghijklmnopq", "v")), "metadata", "an object of at most 16 entries"),
        (body(service_tier="gold"), "service_tier", "got 'gold'"),
        (body(verbosity="loud"), "verbosity", "got 'loud'"),
        (body(tools=[1]), "tools[0]", "expected an object"),
        (body(tools={}), "tools", "expected an array of at most 128 items, got an object"),
        (body(tool_choice="always"), "tool_choice", "expected one of 'auto', 'none', 'required' or an object"),
        (
            body(response_format={"type": "xml"}),
            "response_format.type",
            "'json_object', 'json_schema', 'text', got 'xml'",
        ),
        (body(modalities=["smell"]), "modalities[0]", "expected one of 'audio', 'text', got 'smell'"),
        (body(logit_bias={"50256": "x"}), "logit_bias", "an entry of 'logit_bias': expected a number"),
        (body(logprobs="yes"), "logprobs", "expected true or false"),
        (body(top_logprobs=21), "top_logprobs", "expected an integer from 0 to 20"),
        (body(prediction={"type": "x"}), "prediction.type", "expected one of 'content', got 'x'"),
        (body(prediction={"type": "content", "content": 5}), "prediction.content", "a string or an array, got an int"),
        (body(prediction={"type": "content", "content": []}), "prediction.content", "expected a string or an array"),
        (
            body(prediction={"type": "content", "content": [{"type": "refusal", "text": "x"}]}),
            "prediction.content[0].type",
            "expected one of 'text', got 'refusal'",
        ),
    ],
    ids=case_name,
)
def test_what_is_wrong_is_named_with_what_is_allowed(request_body: bytes, param: str | None, message: str) -> None:
    """The client is told which parameter is wrong, what it may be, and what came instead."""
    assert refusal(request_body) == (InvalidValue, param)
    with pytest.raises(InvalidValue) as caught:
        decode_request(request_body)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("request_body", "param"),
    [
        (body(n=2), "n"),
        (
            body([*HELLO, {"role": "assistant", "content": "{"}], response_format={"type": "json_object"}),
            "response_format",
        ),
        (body(modalities=["text", "audio"]), "modalities"),
        (body(audio={"voice": "alloy", "format": "mp3"}), "audio"),
        (body(web_search_options={}), "web_search_options"),
        (body(logit_bias={"50256": -100}), "logit_bias"),
        (body(logprobs=True), "logprobs"),
        (body(top_logprobs=3), "top_logprobs"),
        (body([{"role": "user", "content": [{"type": "input_audio"}]}]), "messages[0].content[0]"),
    ],
    ids=case_name,
)
def test_what_would_change_the_meaning_is_refused(request_body: bytes, param: str) -> None:
    """A request is never answered as if such a parameter were not there."""
    assert refusal(request_body) == (UnsupportedParameter, param)


def test_a_wrong_value_is_told_before_an_unsupported_one() -> None:
    """A typing error is a typing error, also in a parameter that could not be honoured if it were right."""
    assert refusal(body(n=2, top_logprobs="many")) == (InvalidValue, "top_logprobs")
