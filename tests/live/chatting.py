"""
What a client of Chat Completions says in a turn, and what it keeps of the answer.
"""

from __future__ import annotations

import json
from typing import Any

from claudeproxy.testing.directives import in_json
from tests.live.completions import Completion
from tests.live.conversations import Echo, Turn
from tests.live.odd import JSON

__all__ = ["THOUGHT", "echoed", "is_clean", "joined", "new_messages", "with_ids", "without_leading"]

THOUGHT = "Let me see."
"""What the model thinks, if it thinks."""


def new_messages(before: list[JSON], turn: Turn) -> list[JSON]:
    """
    Return what the client says now, with what the model is to answer.
    """
    last = before[-1] if before else {"role": "user"}
    heads = [{"role": "tool", "tool_call_id": call["id"]} for call in last.get("tool_calls") or ()]
    if "function_call" in last:
        heads = [{"role": "function", "name": last["function_call"]["name"]}]
    results = [{**head, "content": turn.results[index % len(turn.results)]} for index, head in enumerate(heads)]
    results = [results[index] for index in sorted(range(len(results)), key=lambda each: turn.order[each % 9])]
    silent = bool(results or last["role"] in ("tool", "function")) and not turn.speaks
    said = results if silent else [*results, *turn.said]
    if not said:
        return []
    answer = turn.answer
    thinking = THOUGHT if answer.thinking else None
    directive = in_json(text=answer.text, thinking=thinking, calls=answer.calls)
    if answer.text:
        directive += "[[stub deltas=7]]"
    return [*said[:-1], {**said[-1], "content": _directed(said[-1]["content"], directive, turn.order[0])}]


def _directed(content: Any, directive: str, where: float) -> Any:
    """
    Put a directive into a text, before or after what is there.
    """
    if not isinstance(content, str):
        part = {"type": "text", "text": directive}
        return [*content, part]
    if where < 0.5 or content.lstrip().startswith("<system-reminder>"):
        return directive + content
    return content + directive


def joined(begun: list[JSON], message: JSON, *, trimmed: bool) -> JSON:
    """
    Return an answer with its beginning, where the client wrote that.

    :param trimmed: whether blanks at the end of that are cut off, as they are for the model.
    """
    if not begun:
        return message
    content = begun[0]["content"]
    texts = [content] if isinstance(content, str) else [part["text"] for part in content]
    texts = [text for text in texts if text.strip()]
    if trimmed and texts:
        texts[-1] = texts[-1].rstrip()
    if texts and message["content"]:
        texts[-1] += message["content"]
    elif message["content"]:
        texts = [message["content"]]
    return {**message, "content": [{"type": "text", "text": text} for text in texts]}


def echoed(message: JSON, echo: Echo) -> JSON:
    """
    Return an answer as a client sends it back.
    """
    if echo is not Echo.EXACT:
        message = {key: message[key] for key in ("role", "content", "tool_calls", "function_call") if key in message}
    content = message["content"]
    if echo is Echo.PARTS and isinstance(content, str):
        message["content"] = [{"type": "text", "text": content}]
    elif echo is Echo.EMPTY and content is None:
        message["content"] = ""
    elif echo is Echo.EDITED and isinstance(content, str):
        message["content"] = f"{content} Or not?"
    elif echo is Echo.REWRITTEN and "tool_calls" in message:
        message["tool_calls"] = [_rewritten(call) for call in message["tool_calls"]]
    return message


def with_ids(messages: list[JSON], calls: list[JSON]) -> list[JSON]:
    """
    Return messages with what functions returned in the present form, where the older one names no call.
    """
    ids = {call["function"]["name"]: call["id"] for call in calls}
    return [
        {"role": "tool", "tool_call_id": ids[message["name"]], "content": message["content"]}
        if message["role"] == "function"
        else message
        for message in messages
    ]


def _rewritten(call: JSON) -> JSON:
    function = call["function"]
    if not _is_object(function["arguments"]):
        return call
    return {**call, "function": {**function, "arguments": json.dumps(json.loads(function["arguments"]), indent=1)}}


def is_clean(completion: Completion, names: list[str]) -> bool:
    """
    Return whether the CLI takes an answer for what it is, and does not go on by itself.
    """
    functions = [call["function"] for call in completion.calls]
    if functions:
        return all(_is_object(function["arguments"]) and function["name"] in names for function in functions)
    return bool(completion.message["content"].replace("\ufeff", "").strip())


def without_leading(messages: list[JSON]) -> list[JSON]:
    """
    Return what follows the system prompt.
    """
    start = next((at for at, each in enumerate(messages) if each["role"] not in ("system", "developer")), len(messages))
    return messages[start:]


def _is_object(text: str) -> bool:
    try:
        value = json.loads(text)
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return isinstance(value, dict)
