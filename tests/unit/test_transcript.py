"""
Histories written for the CLI.
"""

from __future__ import annotations

import json
from pathlib import Path

from claudeproxy.backends.claude.transcript import transcript, write_transcript
from claudeproxy.core.chat import Message, Role


def lines(*messages: Message) -> list[dict]:  # type: ignore[type-arg]
    written = transcript(messages, session_id="sid", working_directory=Path("/cwd"), model="sonnet")
    return [json.loads(line) for line in written.splitlines()]


def test_each_message_names_the_one_before() -> None:
    """The lines form one chain in order, in the session and directory of their process."""
    first, second, third, fourth = lines(
        Message(Role.USER, "one"),
        Message(Role.ASSISTANT, "two"),
        Message(Role.USER, "three"),
        Message(Role.ASSISTANT, "four"),
    )

    assert first["parentUuid"] is None
    assert [second["parentUuid"], third["parentUuid"], fourth["parentUuid"]] == [
        first["uuid"],
        second["uuid"],
        third["uuid"],
    ]
    assert {line["sessionId"] for line in (first, second, third, fourth)} == {"sid"}
    assert [line["type"] for line in (first, second, third, fourth)] == ["user", "assistant", "user", "assistant"]
    assert second["message"]["content"] == [{"type": "text", "text": "two"}]
    assert second["message"]["stop_reason"] == "end_turn"


def test_neighbours_of_one_role_become_blocks_of_one_message() -> None:
    """Two user messages in a row are two blocks, so that neither text is changed on its way."""
    written = lines(Message(Role.USER, "a"), Message(Role.USER, "b"), Message(Role.ASSISTANT, "c"))

    assert len(written) == 2
    assert written[0]["message"] == {
        "role": "user",
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
    }


def test_a_transcript_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Nobody else on the machine can read a conversation."""
    path = tmp_path / "projects" / "slug" / "sid.jsonl"
    write_transcript(path, b"{}\n")

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
