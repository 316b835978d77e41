"""
Stop sequences of blanks, which the model's API does not take: found wherever the pieces of an answer are cut.
"""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from claudeproxy.backends.claude.answers.stops import Stops, native

BLANKS = st.text(alphabet="\n\t \u2003", min_size=1, max_size=4)
PIECES = st.lists(st.text(alphabet="\n\t \u2003ab", max_size=6), max_size=8)


@given(st.lists(BLANKS, min_size=1, max_size=4), PIECES)
@example(["\n \n"], ["a\n", " ", "\n \nb"])
@example(["\n\n\n", "\n "], ["a\n\n", " b"])
def test_nothing_from_the_first_sequence_on_is_shown(sequences: list[str], pieces: list[str]) -> None:
    """However the text is cut into pieces, all before the sequence that ends first is shown, and no more."""
    stops = Stops.among(sequences)
    shown = ""
    for piece in pieces:
        shown += stops.feed(piece)
        if stops.found:
            break
    shown += "" if stops.found else stops.rest()

    text = "".join(pieces)
    ends = [(text.index(each) + len(each), text.index(each)) for each in sequences if each in text]
    assert stops.found == bool(ends)
    assert shown == text[: min(ends)[1] if ends else None]


@given(st.lists(BLANKS, min_size=1, max_size=4), PIECES)
def test_no_more_is_held_back_than_may_become_one(sequences: list[str], pieces: list[str]) -> None:
    """What cannot be the beginning of a sequence is shown at once."""
    stops = Stops.among(sequences)
    shown = "".join(stops.feed(piece) for piece in pieces)
    if not stops.found:
        held = stops.rest()

        assert shown + held == "".join(pieces)
        assert not held or any(each.startswith(held) for each in sequences)


def test_each_sequence_is_somebodys() -> None:
    """What has more than blanks is the API's, as is an answer that has no other end."""
    sequences = ("\n", "END", " x ", "\t\t")
    stops = Stops.among(sequences)

    assert native(sequences) == ("END", " x ")
    assert stops.feed("END x \t") == "END x "
    assert (stops.feed("\t"), stops.found) == ("", True)
