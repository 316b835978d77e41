"""
What a Chat Completions request means, and what is wrong with it.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.core.chat import Effort, Message, Role, Text, TurnSettings
from claudeproxy.errors import ClaudeProxyError, InvalidJSON, InvalidValue, MissingParameter, UnsupportedParameter
from claudeproxy.wire.openai_chat import ChatBody, Peek, decode_request, peek

HELLO = [{"role": "user", "content": "Hello"}]


def body(messages: object = HELLO, **parameters: object) -> bytes:
    """
    Return a request with these messages and parameters.
    """
    return json.dumps({"model": "gpt-4o", "messages": messages, **parameters}).encode()


def case_name(value: object) -> str:
    """
    Return a short name for a test case, where pytest would take the whole body.
    """
    return f"{value[:60]!r}" if isinstance(value, bytes) else str(value)


def refusal(request: bytes) -> tuple[type[ClaudeProxyError], str | None]:
    """
    Return the kind of error that the request gets, and the parameter that it names.
    """
    with pytest.raises(ClaudeProxyError) as caught:
        decode_request(request)
    assert caught.value.status == 400
    if caught.value.param is not None:
        assert caught.value.param.partition("[")[0] in caught.value.message
    return type(caught.value), caught.value.param


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
    )
    assert decoded.system == "Be brief.\n\nBe polite."


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


# -- Parameters that take effect ----------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "settings"),
    [
        ({"reasoning_effort": "none"}, TurnSettings(effort=Effort.NONE)),
        ({"reasoning_effort": "minimal"}, TurnSettings(effort=Effort.LOW)),
        ({"reasoning_effort": "low"}, TurnSettings(effort=Effort.LOW)),
        ({"reasoning_effort": "medium"}, TurnSettings(effort=Effort.MEDIUM)),
        ({"reasoning_effort": "high"}, TurnSettings(effort=Effort.HIGH)),
        ({"reasoning_effort": "xhigh"}, TurnSettings(effort=Effort.XHIGH)),
        ({"reasoning_effort": "max"}, TurnSettings(effort=Effort.MAX)),
        ({"max_tokens": 5}, TurnSettings(max_tokens=5)),
        ({"max_tokens": 5, "max_completion_tokens": 7}, TurnSettings(max_tokens=7)),
        ({"max_tokens": 5, "max_completion_tokens": -1}, TurnSettings(max_tokens=5)),
        ({"max_tokens": -1}, TurnSettings()),
        ({"stop": "END"}, TurnSettings(stop=("END",))),
        ({"stop": ["a", "b", "c", "d"]}, TurnSettings(stop=("a", "b", "c", "d"))),
        ({"stop": []}, TurnSettings()),
    ],
)
def test_settings_of_the_turn(parameters: dict[str, Any], settings: TurnSettings) -> None:
    """Effort, token limits and stop sequences are honoured, so they are not reported as ignored."""
    decoded = decode_request(body(**parameters))

    assert decoded.settings == settings
    assert decoded.ignored == ()


@pytest.mark.parametrize(
    ("parameters", "stream", "include_usage"),
    [
        ({"stream": True}, True, False),
        ({"stream": False, "stream_options": {"include_usage": True}}, False, True),
        ({"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False}}, True, True),
        ({"stream": True, "stream_options": {"include_usage": None}}, True, False),
        ({"stream": True, "stream_options": {"include_usage": False, "other": 1}}, True, False),
    ],
)
def test_streaming(parameters: dict[str, Any], stream: bool, include_usage: bool) -> None:
    """Usage at the end of the stream comes only when it is asked for."""
    decoded = decode_request(body(**parameters))

    assert (decoded.stream, decoded.include_usage, decoded.ignored) == (stream, include_usage, ())


@pytest.mark.parametrize(
    "parameters",
    [
        {"n": 1},
        {"tools": [], "functions": [], "tool_choice": "auto", "function_call": "auto"},
        {"tool_choice": "auto"},
        {"response_format": {"type": "text"}},
        {"modalities": ["text"]},
        {"logit_bias": {}, "logprobs": False, "top_logprobs": 0},
    ],
)
def test_asking_for_the_usual_is_no_error(parameters: dict[str, Any]) -> None:
    """Clients that spell out what happens anyway are served, and nothing is reported."""
    assert decode_request(body(**parameters)) == decode_request(body())


# -- Parameters without effect ------------------------------------------------


def test_what_has_no_effect_is_reported_in_order() -> None:
    """The client learns which of its parameters did nothing, unknown ones included, in its own order."""
    decoded = decode_request(
        body(
            seed=7,
            frequency_penalty=-2,
            presence_penalty=2.0,
            user="u",
            metadata={"k": "v"},
            store=False,
            service_tier="auto",
            verbosity="low",
            prediction={"type": "content", "content": "x"},
            prompt_cache_key="k",
            prompt_cache_retention="24h",
            prompt_cache_options={"ttl": 5},
            safety_identifier="s",
            moderation={},
            top_k=5,
            chat_template_kwargs={"deep": [1, {"x": None}]},
        )
    )

    assert decoded.ignored == (
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "user",
        "metadata",
        "store",
        "service_tier",
        "verbosity",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "safety_identifier",
        "moderation",
        "top_k",
        "chat_template_kwargs",
    )


def test_the_report_is_fit_for_a_header() -> None:
    """Unknown names that no header could carry, or far too many of them, are not passed on."""
    names = ["a\r\nX-Evil: 1", "", "ü", "x" * 65, "a,b", *(f"p{number}" for number in range(100))]
    ignored = decode_request(body(**dict.fromkeys(names, 1))).ignored

    assert ignored == tuple(f"p{number}" for number in range(50))


OPTIONAL = [
    "stream", "stream_options", "max_completion_tokens", "max_tokens", "stop", "reasoning_effort", "n", "tools",
    "tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format", "modalities", "audio",
    "web_search_options", "temperature", "top_p", "frequency_penalty", "presence_penalty", "seed", "logit_bias",
    "logprobs", "top_logprobs", "user", "safety_identifier", "metadata", "store", "service_tier", "verbosity",
    "prediction", "moderation", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "unheard_of",
]  # fmt: skip


@pytest.mark.parametrize("name", OPTIONAL)
def test_null_means_absent(name: str) -> None:
    """Clients that send every parameter, most of them null, get what they would get without."""
    assert decode_request(body(**{name: None})) == decode_request(body())


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
        (body([{"role": "system", "content": "x"}]), "messages", "at least one message of role 'user'"),
        (body([{"role": "assistant", "content": "x"}]), "messages", "at least one message of role 'user'"),
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
        (body(stop=""), "stop", "expected a non-empty string"),
        (body(stop=["a", ""]), "stop[1]", "expected a non-empty string"),
        (body(stop=["a", "b", "c", "d", "e"]), "stop", "an array of at most 4 items"),
        (body(stop=5), "stop", "expected a non-empty string or an array of at most 4 items, got an integer"),
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


# -- Bytes that are no request ------------------------------------------------

DEEP = b"[" * 200_000 + b"]" * 200_000


@pytest.mark.parametrize(
    "request_body",
    [
        b"",
        b"   ",
        b"{",
        b"nonsense",
        b'{"model": "m",}',
        b"{'model': 'm'}",
        body() + b" {}",
        b"\xff\xfe{\x00}\x00",
        b'{"model": "\xff"}',
        b'{"model": "m", "temperature": NaN}',
        b'{"model": "m", "messages": [{"role": "user", "content": "\xed\xa0\x80"}]}',
        b'{"model": "m", "messages": [{"role": "user", "content": "half: \\ud83d."}]}',
        b'{"model": "m", "messages": [{"role": "user", "content": "other half: \\ude00"}]}',
        b'{"model": "m", "messages": [], "x": ' + DEEP + b"}",
        b'{"model": "m", "messages": [], "tools": [{"x": ' + DEEP + b"}]}",
    ],
    ids=case_name,
)
def test_what_is_no_json_is_refused(request_body: bytes) -> None:
    """Broken syntax, broken Unicode, half characters and bottomless nesting get a clear answer, never a crash."""
    assert refusal(request_body) == (InvalidJSON, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
odd_messages = st.lists(
    st.dictionaries(
        st.sampled_from(["role", "content", "tool_calls", "refusal", "function_call", "type", "text"]),
        json_values | st.sampled_from(["user", "assistant", "system"]) | st.just([{"type": "text", "text": "x"}]),
    ),
    max_size=3,
)


@given(odd_messages | json_values, st.dictionaries(st.sampled_from(OPTIONAL), json_values, max_size=4))
def test_any_json_is_understood_or_refused(messages: object, parameters: dict[str, Any]) -> None:
    """Whatever the values, the client gets a decoded request or an error with status 400; text survives as UTF-8."""
    try:
        decoded = decode_request(body(messages, **parameters))
    except ClaudeProxyError as error:
        assert error.status == 400
    else:
        assert repr(decoded.messages).encode().decode()


@given(st.binary(max_size=40))
def test_any_bytes_are_understood_or_refused(junk: bytes) -> None:
    """No bytes crash the decoders."""
    for decode in (decode_request, peek):
        with pytest.raises(ClaudeProxyError):
            decode(junk)


# -- Peeking ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_body", "seen"),
    [
        (b'{"model": "m"}', Peek("m", False)),
        (b'{"stream": true, "model": "m", "messages": "whatever", "n": {}}', Peek("m", True)),
        (b'{"model": "m", "stream": null}', Peek("m", False)),
        (b'{"model": "m", "stream": false, "input": []}', Peek("m", False)),
        (b'{"model": "m", "store": true}', Peek("m", False, True)),
        (b'{"model": "m", "store": {"odd": 1}}', Peek("m", False, True)),
        (b'{"model": "m", "store": false}', Peek("m", False)),
        (b'{"store" : null, "model": "m"}', Peek("m", False)),
    ],
    ids=case_name,
)
def test_peeking_reads_what_routing_needs(request_body: bytes, seen: Peek) -> None:
    """A request for an upstream is routed whatever else is in it: the upstream judges that."""
    assert peek(request_body) == seen


@pytest.mark.parametrize(
    "request_body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"model": 1}',
        b'{"model": "", "messages": []}',
        b'{"stream": 1, "model": "m"}',
        b'{"x": ' + DEEP + b"}",
    ],
    ids=case_name,
)
def test_peeking_finds_the_same_faults(request_body: bytes) -> None:
    """A request without a model, or that is no JSON, is told so in the same words on every way."""
    with pytest.raises(ClaudeProxyError) as peeked:
        peek(request_body)
    with pytest.raises(ClaudeProxyError) as decoded:
        decode_request(request_body)

    assert type(peeked.value) is type(decoded.value)
    assert (peeked.value.message, peeked.value.param) == (decoded.value.message, decoded.value.param)
