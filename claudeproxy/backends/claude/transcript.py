"""
A conversation as the CLI's transcript, so that a process can resume what it never saw.

The format is that of Claude Code 2.1.329: one JSON line a message, each naming the one before it. Resumed so, the model
is sent exactly these messages, in these roles.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from claudeproxy.core.chat import Message, Part, Role
from claudeproxy.wire.anthropic import content_blocks
from claudeproxy.wire.claude_cli import TESTED_VERSION

__all__ = ["transcript", "write_transcript"]

_encode = msgspec.json.Encoder().encode


def transcript(messages: Sequence[Message], *, session_id: str, working_directory: Path, model: str) -> bytes:
    """
    Return the transcript of a conversation that ends with an answer.

    It must not end with a user's message: the CLI would add an answer of its own to it ("No response requested.").
    """
    parent: str | None = None
    lines = []
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    # Neighbours of one role are blocks of one message; as messages of their own the CLI joins them with a line break.
    for role, group in groupby(messages, key=lambda message: message.role):
        uuid = str(uuid4())
        line = {
            "parentUuid": parent,
            "isSidechain": False,
            "userType": "external",
            "cwd": str(working_directory),
            "sessionId": session_id,
            "version": TESTED_VERSION,
            "gitBranch": "",
            "type": role.value,
            "uuid": uuid,
            "timestamp": now,
            "message": _message(role, (part for message in group for part in message.parts), model),
        }
        lines.append(_encode(line) + b"\n")
        parent = uuid
    return b"".join(lines)


def _message(role: Role, parts: Iterable[Part], model: str) -> dict[str, Any]:
    blocks = content_blocks(parts)
    if role is Role.USER:
        return {"role": "user", "content": blocks}
    return {
        "id": f"msg_{uuid4().hex[:24]}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def write_transcript(path: Path, content: bytes) -> None:
    """
    Write a transcript where the CLI looks for it.

    :raises OSError: it cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # With the CLI's own login this is among the operator's files: nobody else is to read it.
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
