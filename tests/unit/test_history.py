"""
When two conversations are the same one.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.core.chat import Message, Role
from claudeproxy.core.history import history_digest, split_history

messages = st.lists(st.builds(Message, st.sampled_from(Role), st.text(max_size=10)), max_size=6).map(tuple)
conversations = st.tuples(st.text(max_size=4), st.text(max_size=4), st.text(max_size=4), messages)


@given(conversations, conversations)
def test_only_equal_conversations_have_equal_digests(one: tuple, other: tuple) -> None:  # type: ignore[type-arg]
    """Tenant, model, system prompt and each message count: whatever differs, the digest differs."""
    assert (history_digest(*one) == history_digest(*other)) == (one == other)


def test_text_cannot_move_from_one_part_to_the_next() -> None:
    """The same letters, cut differently into messages, are another conversation."""
    one = (Message(Role.USER, "ab"), Message(Role.USER, "c"))
    other = (Message(Role.USER, "a"), Message(Role.USER, "bc"))

    assert history_digest("t", "m", "s", one) != history_digest("t", "m", "s", other)


@given(messages)
def test_a_history_ends_with_the_last_answer(conversation: tuple[Message, ...]) -> None:
    """What follows the last answer is new, and nothing is lost between the two."""
    history, new = split_history(conversation)

    assert history + new == conversation
    assert not history or history[-1].role is Role.ASSISTANT
    assert all(message.role is Role.USER for message in new)
