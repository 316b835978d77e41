"""
When two conversations are the same one.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.core.chat import Document, Image, Message, Part, Role, Text, ToolCall, ToolResult
from claudeproxy.core.history import as_called, check_results, history_digest, in_call_order, split_history
from claudeproxy.core.tools import Tool
from claudeproxy.errors import InvalidValue

words = st.text(max_size=4)
texts = st.builds(Text, words)
parts = (
    texts
    | st.builds(Image, words, words)
    | st.builds(Document, words, words, words)
    | st.builds(ToolCall, words, words, st.sampled_from(["{}", '{"a": 1}', "no JSON"]))
    | st.builds(ToolResult, words, st.lists(texts, max_size=2).map(tuple))
)
messages = st.lists(st.builds(Message, st.sampled_from(Role), st.lists(parts, max_size=3)), max_size=5).map(tuple)
tools = st.lists(st.builds(Tool, words, words), max_size=2).map(tuple)
conversations = st.tuples(words, words, words, tools, messages)


@given(conversations, conversations)
def test_only_equal_conversations_have_equal_digests(one: tuple, other: tuple) -> None:  # type: ignore[type-arg]
    """Tenant, model, system prompt, functions and each message count: whatever differs, the digest differs."""
    assert (history_digest(*one) == history_digest(*other)) == (one == other)


def test_text_cannot_move_from_one_part_to_the_next() -> None:
    """The same letters, cut differently into messages, are another conversation."""
    one = (Message(Role.USER, "ab"), Message(Role.USER, "c"))
    other = (Message(Role.USER, "a"), Message(Role.USER, "bc"))

    assert history_digest("t", "m", "s", (), one) != history_digest("t", "m", "s", (), other)


def test_arguments_that_mean_the_same_are_the_same() -> None:
    """Many clients read a call's arguments and write them anew; the process that made the call still knows it."""
    one, other = (
        (Message(Role.ASSISTANT, [ToolCall("c", "f", written)]),) for written in ('{"a": 1,"b":2}', '{"b": 2, "a": 1}')
    )

    assert history_digest("t", "m", "s", (), one) == history_digest("t", "m", "s", (), other)


CALL, RESULT = ToolCall("c", "f", "{}"), ToolResult("c")


@pytest.mark.parametrize(
    ("last", "new", "named"),
    [
        ([CALL], [Text("hello")], "c"),
        ([CALL], [ToolResult("d")], "c"),
        ([CALL], [RESULT, ToolResult("d")], "d"),
        ([CALL], [RESULT, RESULT], "c"),
        ([CALL, ToolCall("d", "f", "{}")], [RESULT, ToolResult("d"), ToolResult("d", (Text("other"),))], "d"),
        ([Text("hello")], [RESULT], "c"),
        ([], [RESULT], "c"),
    ],
)
def test_results_that_do_not_fit_are_named(last: list[Part], new: list[Part], named: str) -> None:
    """Every call of the last answer has one result, and there is none for another."""
    history = (Message(Role.USER, "x"), Message(Role.ASSISTANT, last)) if last else ()
    with pytest.raises(InvalidValue, match=rf": {named}\.$"):
        check_results(history, (Message(Role.USER, new),))


def test_results_that_fit() -> None:
    """With results the user may say something, and without calls anything."""
    check_results((Message(Role.ASSISTANT, [CALL]),), (Message(Role.USER, [RESULT]), Message(Role.USER, "hello")))
    check_results((), (Message(Role.USER, "hello"),))


def test_results_of_many_calls() -> None:
    """However many there are, none is looked for among all the others: this would take half a minute."""
    ids = [str(number) for number in range(20_000)]
    history = (Message(Role.ASSISTANT, [ToolCall(each, "f", "{}") for each in ids]),)
    new = tuple(Message(Role.USER, [ToolResult(each)]) for each in reversed(ids))
    check_results(history, new)
    with pytest.raises(InvalidValue, match=r"no message of role 'tool': 0\."):
        check_results(history, new[:-1])


def test_results_that_only_have_a_name() -> None:
    """A client of the older form that sends only what is new knows no ids; each function was called once."""
    known = (Message(Role.USER, "x"), Message(Role.ASSISTANT, [ToolCall("a", "f", "{}")]))
    new = (Message(Role.USER, [ToolResult("f", (Text("1"),), by_name=True)]),)

    assert as_called(known, (), new) == (Message(Role.USER, [ToolResult("a", (Text("1"),))]),)
    assert as_called((), (), new) == (Message(Role.USER, [ToolResult("f", (Text("1"),))]),)


def test_results_without_the_ids_of_their_calls() -> None:
    """A client that has names for the calls alone, in their order, returns what they are known by."""
    known = (Message(Role.USER, "x"), Message(Role.ASSISTANT, [ToolCall("a", "f", "{}"), ToolCall("b", "g", "{}")]))
    given = (Message(Role.ASSISTANT, [ToolCall("1", "f", "{}"), ToolCall("2", "g", "{}")]),)
    new = (Message(Role.USER, [ToolResult("2"), Text("hello")]), Message(Role.USER, [ToolResult("1")]))

    assert as_called(known, given, new) == (
        Message(Role.USER, [ToolResult("b"), Text("hello")]),
        Message(Role.USER, [ToolResult("a")]),
    )
    assert as_called(known, (), new) == new


@pytest.mark.parametrize("names", [["f"], ["g", "f"], ["f", "g", "f"]])
def test_results_of_other_calls_stay_what_they_are(names: list[str]) -> None:
    """Where the client's last answer is another one, nothing is taken for what it is not."""
    known = (Message(Role.ASSISTANT, [ToolCall("a", "f", "{}"), ToolCall("b", "g", "{}")]),)
    given = (Message(Role.ASSISTANT, [ToolCall(str(number), name, "{}") for number, name in enumerate(names)]),)
    new = tuple(Message(Role.USER, [ToolResult(str(number))]) for number, _ in enumerate(names))

    assert as_called(known, given, new) == new


@given(st.permutations(["a", "b", "c"]), st.booleans())
def test_results_are_in_the_order_of_their_calls(order: list[str], named: bool) -> None:
    """Whichever came first, in a history and where only what is new is sent; what follows stays where it is."""
    asked = Message(Role.USER, "How much?")
    called = Message(Role.ASSISTANT, (ToolCall(each, "add", "{}") for each in ("a", "b", "c")))
    results = {each: Message(Role.USER, (ToolResult(each, (Text(each),)),)) for each in order}
    rest = (Message(Role.USER, "Thanks"), Message(Role.ASSISTANT, "Yes"))
    returned = (results["a"], results["b"], results["c"], *rest)
    given = tuple(results[each] for each in order)

    if named:
        assert as_called((asked, called), (), (*given, *rest)) == returned
    else:
        assert in_call_order((asked, called, *given, *rest)) == (asked, called, *returned)


@given(messages)
def test_a_history_ends_with_the_last_answer(conversation: tuple[Message, ...]) -> None:
    """What follows the last answer is new, and nothing is lost between the two."""
    history, new = split_history(conversation)

    assert history + new == conversation
    assert not history or history[-1].role is Role.ASSISTANT
    assert Role.ASSISTANT not in {message.role for message in new}
