"""
Answers that have to be objects, piece by piece.
"""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.backends.claude.answers.answer import Answer
from claudeproxy.backends.claude.answers.forms import Form, form_tool
from claudeproxy.core.chat import AnswerFormat, Text, Thinking, ToolCall
from claudeproxy.errors import AnswerNotJSON

objects = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9) | st.lists(st.none()), max_size=4)


@given(objects, st.sampled_from(["", " ", "\n\t "]), st.lists(st.integers(0, 200), max_size=5))
def test_an_object_passes_however_it_is_cut(value: object, blanks: str, cuts: list[int]) -> None:
    """Every piece is passed on at once, apart from blanks before the first."""
    form, text = Form(), blanks + json.dumps(value)
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    passed = "".join(form.text(text[start:end], 0) for start, end in pairwise(places))

    assert passed == text[len(blanks) :]
    assert form.missing(passed) == ""


@pytest.mark.parametrize("text", ["Sure: {}", "```json\n{}\n```", "[1]", '"x"', "\n- {"])
def test_prose_is_noticed_before_it_is_passed_on(text: str) -> None:
    """Fences and lists are no objects either; at the end they are an error, or the words of a refusal."""
    form = Form()
    assert (form.text(text[:1], 0), form.text(text[1:], 0)) == ("", "")
    with pytest.raises(AnswerNotJSON):
        form.missing("")

    assert (form.begun, form.prose) == (False, text.lstrip())


@pytest.mark.parametrize("text", ["", "{", '{"x": 1', "{} and more"])
def test_what_is_no_object_in_the_end_is_an_error(text: str) -> None:
    """An answer that stops must be whole."""
    form = Form()
    passed = form.text(text, 0)
    with pytest.raises(AnswerNotJSON):
        form.missing(passed)


def test_only_the_first_call_is_the_answer() -> None:
    """Text beside it and a second one are nothing, the client's own calls are told apart."""
    form = Form("answer")
    assert form.text("I will answer", 0) == ""
    assert (form.call("add", 0), form.input("{}")) == (False, "")
    assert (form.call("answer", 0), form.input('{"x"'), form.input(": 1}")) == (True, '{"x"', ": 1}")
    assert (form.call("answer", 0), form.input("{}")) == (True, "")
    assert form.missing('{"x": 1}') == ""


@pytest.mark.parametrize("form", [Form("answer"), Form(calls=True)])
def test_words_instead_of_a_call_are_known(form: Form) -> None:
    """They are no answer, and may be why the model refuses to call."""
    assert (form.text("I can", 0), form.text("not.", 0), form.begun) == ("", "", False)
    assert form.prose == "I cannot."


def test_text_beside_the_clients_calls_is_nothing() -> None:
    """The object comes when the calls have their results, by a text or by a call."""
    form = Form("answer")
    assert Form().text("Let me look", 1) == ""
    assert (form.call("answer", 1), form.input("{}"), form.begun) == (True, "", False)


def test_the_name_of_the_function_is_nobody_elses() -> None:
    """However many of the client's are in the way, and 64 letters at most."""
    name = "n" * 64
    taken = {name, "n" * 60 + "_0"}
    tool = form_tool(AnswerFormat(name=name), taken)

    assert tool.name not in taken
    assert len(tool.name) <= 64


def test_an_answer_keeps_its_order() -> None:
    """Thoughts and their signatures, texts and calls stand as they came; thoughts without calls are dropped."""
    answer = Answer()
    answer.begin_thought("")
    answer.think("Hm")
    answer.sign("sig")
    answer.begin_thought("secret")
    answer.say("I ")
    answer.say("add")
    thoughtless = answer.parts
    answer.begin_call("c1", "add")
    answer.call_with('{"a":')
    answer.call_with("1}")
    answer.begin_call("c2", "now")

    assert thoughtless == (Text("I add"),)
    assert answer.parts == (
        Thinking("Hm", "sig"),
        Thinking(redacted="secret"),
        Text("I add"),
        ToolCall("c1", "add", '{"a":1}'),
        ToolCall("c2", "now", "{}"),
    )
