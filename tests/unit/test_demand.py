"""
Which kinds of process wait.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.backends.claude.demand import Demand
from claudeproxy.backends.claude.environment import FRESH, Kind

RESUMES = Kind("sonnet")


def test_at_first_one_of_each_kind_waits() -> None:
    """With two places, a new conversation and a resumed one both find a process."""
    assert Demand.starting_with(2, "sonnet").mix() == {FRESH: 1, RESUMES: 1}


def test_a_single_place_is_for_new_conversations() -> None:
    """With one place, the commoner kind has it."""
    assert Demand.starting_with(1, "sonnet").mix() == {FRESH: 1}


def test_the_mix_follows_what_is_asked_for() -> None:
    """When only new conversations come, no process waits to resume one, and the other way round."""
    demand = Demand.starting_with(2, "sonnet")
    for _ in range(8):
        demand.note(FRESH)
    assert demand.mix() == {FRESH: 2}

    for _ in range(8):
        demand.note(Kind("opus"))
    assert demand.mix() == {Kind("opus"): 2}


@given(st.integers(0, 12), st.lists(st.sampled_from([FRESH, RESUMES, Kind("opus")]), max_size=20))
def test_the_places_are_never_exceeded_nor_left_empty(places: int, asked: list[Kind]) -> None:
    """Whatever was asked for, the mix fills exactly the places there are."""
    demand = Demand.starting_with(places, "sonnet")
    for kind in asked:
        demand.note(kind)

    assert demand.mix().total() == places


@pytest.mark.parametrize("kind", [FRESH, RESUMES])
def test_one_odd_request_changes_nothing(kind: Kind) -> None:
    """A single request of another kind does not swap the waiting processes."""
    demand = Demand.starting_with(2, "sonnet")
    demand.note(kind)

    assert demand.mix() == {FRESH: 1, RESUMES: 1}
