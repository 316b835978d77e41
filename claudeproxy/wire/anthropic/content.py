"""
The neutral model's messages in the form of the Messages API.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec

from claudeproxy.core.chat import (
    Document,
    Image,
    ImageLink,
    Message,
    Part,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from claudeproxy.core.media import PLAIN_TEXT

__all__ = ["content_blocks", "message_objects"]


_ID = re.compile(r"[a-zA-Z0-9_-]+")


def message_objects(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """
    Return the messages of a request; neighbours of one role are one message, as the API wants the results of calls.

    The last block of the user's last message is marked, so that the API's cache keeps what comes before it.
    """
    objects = [
        {"role": role.value, "content": content_blocks(part for message in group for part in message.parts)}
        for role, group in groupby(messages, key=attrgetter("role"))
    ]
    for last in reversed(objects):
        if last["role"] == Role.USER:
            last["content"][-1]["cache_control"] = {"type": "ephemeral"}
            break
    return objects


def content_blocks(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """
    Return the blocks that a message of these parts has.
    """
    return [_block(part) for part in parts]


def _block(part: Part) -> dict[str, Any]:
    match part:
        case Text(text=text):
            return {"type": "text", "text": text}
        case Image():
            return {"type": "image", "source": _source(part)}
        case ImageLink():
            raise TypeError("A linked picture must be fetched before it is sent.")
        case Document(title=title):
            return {"type": "document", "source": _source(part), **({"title": title} if title else {})}
        case ToolCall(call_id=call_id, name=name, arguments=arguments):
            return {"type": "tool_use", "id": _call_id(call_id), "name": name, "input": _input(arguments)}
        case ToolResult(call_id=call_id, content=content):
            return {"type": "tool_result", "tool_use_id": _call_id(call_id), "content": content_blocks(content)}
        case Thinking(redacted=redacted) if redacted:
            return {"type": "redacted_thinking", "data": redacted}
        case Thinking(text=text, signature=signature):
            return {"type": "thinking", "thinking": text, "signature": signature}


def _call_id(call_id: str) -> str:
    """
    Return a call's id as the API takes it. Conversations that another model began have others: ``functions.add:0``.
    """
    if _ID.fullmatch(call_id):
        return call_id
    return f"call_{sha256(call_id.encode(errors='replace')).hexdigest()[:24]}"


def _input(arguments: str) -> Any:
    """
    Return a call's arguments as the API has them, always an object.
    """
    try:
        decoded = msgspec.json.decode(arguments or b"{}")
    except msgspec.DecodeError:
        decoded = None
    # What the model wrote wrongly it is to see as it was.
    return decoded if isinstance(decoded, dict) else {"_unparsed": arguments}


def _source(part: Image | Document) -> dict[str, Any]:
    if part.media_type == PLAIN_TEXT:
        return {"type": "text", "media_type": PLAIN_TEXT, "data": b64decode(part.data).decode()}
    return {"type": "base64", "media_type": part.media_type, "data": part.data}
