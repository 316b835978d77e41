"""
Numbers that no double holds, and text that is no Unicode, anywhere in a request.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudeproxy.backends.claude.requests.exchange import is_plain_answer
from claudeproxy.backends.claude.requests.settings import turn_settings
from claudeproxy.backends.claude.requests.telling import Telling
from claudeproxy.core.chat import Message, Role, ToolCall, TurnSettings
from claudeproxy.core.history import history_digest
from claudeproxy.errors import ClaudeProxyError, InvalidJSON, InvalidValue
from claudeproxy.wire.numbers import LongNumber, decode_kept, keeps_numbers
from claudeproxy.wire.openai_chat import ChatBody, decode_request, peek, with_model

HELLO = '"messages": [{"role": "user", "content": "x"}]'
LOST = ["1.8e308", "1e400", "-1e999", "1e-400", "9007199254740993", "12345678901234567890", "9" * 100, "-" + "9" * 5000]
KEPT = ["0", "-0.0", "0e999", "1.5e300", "9007199254740992", "-9007199254740991", "1" + "0" * 20, "1e22", "0.1", "1.0"]


def decoded(*members: str) -> ChatBody:
    """A request with these members, as it is understood."""
    return decode_request(("{" + ", ".join(('"model": "m"', *members)) + "}").encode())


def sent(body: ChatBody) -> str:
    """What is put into the request to the API."""
    history_digest("t", "m", body.system, body.tools, body.messages)
    made: Any = turn_settings("sonnet", Telling.of(body.settings, body.tools, body.messages))
    return str(made["env"]["CLAUDE_CODE_EXTRA_BODY"])


def tool(schema: str) -> str:
    return '"tools": [{"type": "function", "function": {"name": "f", "parameters": ' + schema + "}}]"


@pytest.mark.parametrize("number", LOST)
def test_a_number_that_no_double_holds_is_known(number: str) -> None:
    """Its digits are kept."""
    assert decode_kept(f'{{"a": [{number}]}}') == {"a": [LongNumber(number)]}
    assert isinstance(decode_kept(number), LongNumber)
    assert not keeps_numbers(f"[{number}]")


@pytest.mark.parametrize("number", KEPT)
def test_a_number_that_a_double_holds_is_one(number: str) -> None:
    """Nothing is made of it."""
    assert decode_kept(f"[{number}]") == [float(number)]
    assert keeps_numbers(f"[{number}]")
    assert keeps_numbers(json.dumps(number * 20))


@pytest.mark.parametrize("number", [each for each in LOST if len(each) < 200])
@pytest.mark.parametrize("keyword", ["maximum", "default", "enum", "const", "x-own", "minLength", "examples"])
def test_a_schemas_number_is_told_in_words(keyword: str, number: str) -> None:
    """The model reads the very digits, and no other number takes their place."""
    value = f"[{number}, 1]" if keyword == "enum" else f'{{"a": {number}}}' if keyword == "x-own" else number
    body = decoded(HELLO, tool(f'{{"properties": {{"a": {{"{keyword}": {value}, "description": "So."}}}}}}'))

    (described,) = body.tools[0].schema["properties"].values()
    assert list(described) == ["description"]
    assert number in re.findall(r"-?[\d.]+(?:e-?\d+)?", described["description"])
    assert described["description"].startswith(f'("{keyword}": ')
    assert described["description"].endswith(" So.")


@pytest.mark.parametrize(
    ("member", "param"),
    [
        (tool('{"properties": {"a": {"maximum": %s}}}' % ("9" * 5000)), "tools[0].function.parameters"),
        (tool('{"properties": {"a": 1e400}}'), "tools[0].function.parameters"),
        (tool('{"required": [1e400]}'), "tools[0].function.parameters"),
        (tool("1e400"), "tools[0].function.parameters"),
        ('"max_tokens": 1e400', "max_tokens"),
        ('"max_tokens": ' + "9" * 5000, "max_tokens"),
        ('"seed": 1e400', "seed"),
        ('"temperature": 1e400', "temperature"),
        ('"logit_bias": {"1": 1e400}', "logit_bias"),
        ('"metadata": {"a": 1e400}', "metadata"),
        ('"stop": [1e400]', "stop[0]"),
        ('"stream_options": {"include_usage": 1e400}', "stream_options.include_usage"),
    ],
)
def test_where_it_cannot_be_told_it_is_refused(member: str, param: str) -> None:
    """With the name of the parameter."""
    with pytest.raises(InvalidValue) as raised:
        decoded(HELLO, member)
    assert raised.value.param == param


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "01", "1.", "+1", ".5"])
@pytest.mark.parametrize("member", ['"seed": %s', '"x": [%s]', tool('{"default": %s}')])
def test_what_is_no_number_is_no_json(member: str, word: str) -> None:
    """Wherever it stands."""
    with pytest.raises(InvalidJSON):
        decoded(HELLO, member.replace("%s", word))


@pytest.mark.parametrize("number", LOST)
def test_a_number_in_a_call_is_a_string_of_its_digits(number: str) -> None:
    """The model is not told another one than it wrote; the process that would remember another one is told anew."""
    call = ToolCall("c", "f", f'{{"id": {number}, "n": [1, {number}]}}')
    made: Any = turn_settings("sonnet", Telling.of(TurnSettings(), (), [Message(Role.ASSISTANT, (call,))]))
    (message,) = json.loads(made["env"]["CLAUDE_CODE_EXTRA_BODY"])["messages"]

    assert message["content"][0]["input"] == {"id": number, "n": [1, number]}
    assert not is_plain_answer([call])
    assert is_plain_answer([ToolCall("c", "f", f'{{"id": 9007199254740992, "n": [1.5, "{number}"]}}')])


CALLED = """
    "messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{\\"a\\": [%s]}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": ""}
    ]
"""
PLACES = [
    CALLED,
    '"seed": %s',
    '"max_tokens": %s',
    '"n": %s',
    '"top_p": %s',
    '"logit_bias": {"1": %s}',
    '"metadata": {"a": %s}',
    '"x": {"a": [%s]}',
    '"audio": {"a": %s}',
    '"prompt_cache_options": {"a": [%s]}',
    '"stream_options": {"include_usage": %s}',
    '"tool_choice": %s',
    '"response_format": {"type": "json_schema", "json_schema": {"name": "f", "schema": {"default": [%s]}}}',
    '"response_format": {"type": "json_schema", "json_schema": {"name": %s}}',
    tool('{"properties": {"a": {"maximum": %s}}}'),
    tool('{"properties": {"a": {"items": [{"enum": [[%s]]}]}}, "minProperties": %s}'),
    tool('{"properties": %s}'),
    tool('{"anyOf": [{"const": {"a": %s}}]}'),
    '"tools": %s',
    '"messages": %s',
    '"model": %s',
]
digits = st.text("0123456789", min_size=1, max_size=400) | st.integers(4290, 4310).map(lambda length: "9" * length)
odd = st.builds(
    lambda sign, whole, part, power: f"{sign}{whole.lstrip('0') or '0'}{part}{power}",
    st.sampled_from(["", "-"]),
    digits,
    st.just("") | digits.map(lambda text: f".{text}"),
    st.just("") | st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), digits),
)


@settings(max_examples=300)
@given(st.sampled_from(PLACES), odd | st.sampled_from([*LOST, *KEPT]))
def test_an_odd_number_is_no_fault_of_ours(place: str, number: str) -> None:
    """It is served or refused, with the parameter's name; and what is sent holds no number that changes on the way."""
    member = place.replace("%s", number)
    try:
        body = decoded(member) if '"messages"' in member else decoded(HELLO, member)
    except ClaudeProxyError as error:
        assert error.status == 400
        assert error.param
        return
    assert keeps_numbers(sent(body))


# -- Unpaired surrogates ------------------------------------------------------

LONE = [r"\ud800", r"a\uDFFFb", r"\ude00\ud83d", r"\ud83d\ud83d\ude00", r"\\\ud83dx", r"\\ud83d\ude00"]


@pytest.mark.parametrize("half", LONE)
@pytest.mark.parametrize(
    ("member", "param"),
    [
        ('"user": "%s"', "user"),
        ('"x": {"y": ["", "%s"]}', "x.y[1]"),
        ('"metadata": {"%s": "a"}', "metadata"),
        ('"%s": 1', None),
        ('"messages": [{"role": "user", "content": [{"type": "text", "text": "%s"}]}]', "messages[0].content[0].text"),
        (tool('{"properties": {"%s": {}}}'), "tools[0].function.parameters.properties"),
    ],
)
def test_half_a_character_is_the_readers_business(member: str, param: str | None, half: str) -> None:
    """What is relayed is not looked into; Claude Code's 400 says what it is, and where."""
    written = member.replace("%s", half)
    members = written if "messages" in written else f"{HELLO}, {written}"
    body = ('{"model": "m", "stream": true, ' + members + "}").encode()

    assert (peek(body).model, peek(body).stream) == ("m", True)
    assert with_model(body, "m") == body
    with pytest.raises(ClaudeProxyError, match="unpaired surrogate") as raised:
        decode_request(body)
    assert raised.value.status == 400
    assert raised.value.param == param


@pytest.mark.parametrize("text", [r"\ud83d\ude00", r"\\ud83d", r"\\\\ude00", r"\uD83D\uDE00\\\u00e9", "\\ud7ff"])
def test_whole_characters_are_taken(text: str) -> None:
    """Escaped ones, and backslashes that only look like escapes."""
    assert decoded(HELLO, f'"user": "{text}"').ignored == ("user",)


def test_the_model_is_read_as_it_is() -> None:
    """Also beside half a character."""
    body = rb'{"model": "\ud83d\ude00", "x": "\ud83d"}'

    assert peek(body).model == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    "broken", [rb'{"model": "m", "x": "\ud83d"', rb'{"model": 1, "x": "\ud83d"}', rb'{"x": "\ud8"}']
)
def test_what_is_wrong_besides_is_told(broken: bytes) -> None:
    """Half a character excuses nothing else."""
    with pytest.raises(ClaudeProxyError) as raised:
        peek(broken)
    assert raised.value.status == 400
    assert "surrogate" not in raised.value.message


@pytest.mark.parametrize("filler", [r"\ud83d\ude00", r"\n", r"\\", r"\ud800"])
def test_a_large_body_is_looked_at_in_time(filler: str) -> None:
    """There is no step for each of its escapes."""
    body = ('{"model": "m", "x": "' + filler * 200_000 + r'\ud800"}').encode()

    assert peek(body).model == "m"
    with pytest.raises(ClaudeProxyError, match="unpaired surrogate"):
        decode_request(body)
