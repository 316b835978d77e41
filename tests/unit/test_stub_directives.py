"""
What a prompt may ask of a stub is read as it was meant, and nothing else is.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.testing.canned import canned_answer, cut
from claudeproxy.testing.directives import BadDirective, Directive, in_json, without_directives


def test_an_ordinary_prompt_asks_for_nothing() -> None:
    """Text without a directive leaves all at its default, brackets or not."""
    assert Directive.parse("hello [[wiki]] [stub]") == Directive()


def test_prose_runs_up_to_the_next_key() -> None:
    """Words with blanks need no quotes, and may hold what looks like a flag."""
    parsed = Directive.parse("Hi [[stub text=please hang on, mute it every=0.5 status=529 message=too busy]] there")

    assert parsed == Directive(text="please hang on, mute it", every=0.5, status=529, message="too busy")


def test_a_flag_can_come_last() -> None:
    """``hang`` after prose is the flag, since it is the last word."""
    assert Directive.parse("[[stub thinking=let me see hang]]") == Directive(thinking="let me see", hang=True)


def test_several_directives_are_one() -> None:
    """A text may carry more than one; they add up."""
    assert Directive.parse("[[stub silence=2.5]] and [[stub die-after=3]]") == Directive(silence=2.5, die_after=3)


@given(st.text(), st.text(min_size=1), st.text())
def test_any_answer_at_all(text: str, thinking: str, arguments: str) -> None:
    """What the other keys cut off or cannot hold goes in base64; more keys may stand beside it."""
    directive = in_json(text=text, thinking=thinking, calls=[("f", arguments)])

    assert Directive.parse(f"Hi {directive}[[stub deltas=3]]") == Directive(
        text=text, thinking=thinking, calls=(("f", arguments),), deltas=3
    )


@pytest.mark.parametrize(
    "inside", ["delatas=3", "deltas=many", "stop=tool_use", "hang=1", "=", "status=", "json=e30", "json=W10="]
)
def test_a_slip_is_an_error(inside: str) -> None:
    """What no stub understands raises, so that a test cannot pass for the wrong reason."""
    with pytest.raises(BadDirective):
        Directive.parse(f"[[stub {inside}]]")


def test_the_answer_quotes_what_was_said_beside_the_directive() -> None:
    """Directives are not part of the quoted words."""
    said = "one [[stub every=1]] two"

    assert without_directives(said) == "one  two"
    assert canned_answer("the API", [said]).endswith("You said: one  two")


def test_the_conversation_is_remembered() -> None:
    """The last name and number that were told are the ones that come back."""
    texts = ["My name is Ada.", "Remember the number 12, then 3.", "my name is O'Neil, really"]

    assert canned_answer("", [*texts, "What's my name?"]) == "Your name is O'Neil."
    assert canned_answer("", [*texts, "Which number was it?"]) == "The number is 12."
    assert canned_answer("", [*texts, "Reply with exactly: pong"]) == "pong"


@given(st.text(), st.none() | st.integers(1, 20))
def test_the_deltas_make_the_text(text: str, deltas: int | None) -> None:
    """Cutting loses nothing and yields no empty piece."""
    pieces = list(cut(Directive(text=text, deltas=deltas), ""))

    assert "".join(pieces) == text
    assert all(pieces)


@given(st.integers(0, 10_000), st.none() | st.integers(1, 50))
def test_bytes_are_exact(size: int, deltas: int | None) -> None:
    """``bytes`` gives exactly so many, however they are cut."""
    assert len("".join(cut(Directive(bytes=size, deltas=deltas), "")).encode()) == size
