"""
What the Messages API is to get for a Chat Completions request, by a second reading of both APIs.

Nothing here knows the daemon: it goes from the one JSON to the other, as the documentation of the daemon says.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

__all__ = [
    "canonical",
    "chosen",
    "difference",
    "expected_choice",
    "expected_messages",
    "expected_system",
    "expected_tools",
    "numbered",
    "recorded_messages",
    "shown",
    "without_end_blanks",
]

JSON = dict[str, Any]

_SYSTEM = ("system", "developer")
_BEGINNINGS = {
    "image/png": b"\x89PNG",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
_NO_ARGUMENTS = {"type": "object", "properties": {}}


# -- What is to be ------------------------------------------------------------


def expected_system(messages: Sequence[JSON]) -> str:
    """The system prompt: what the system says before anybody else, each message a paragraph of its own."""
    said = ("\n".join(_named(message) + _texts(message["content"] or [])) for message in _leading(messages))
    return "\n\n".join(text for text in said if text.strip())


def expected_messages(messages: Sequence[JSON], *, remarks: bool = False) -> list[JSON]:
    """
    The conversation: one message for neighbours of one role, and none for those that say nothing.

    :param remarks: whether the system's messages are marked words of the user's.
    """
    told: list[JSON] = []
    for role, blocks in _turns(messages):
        if remarks and role == "system" and blocks:
            text = "\n".join(block["text"] for block in blocks)
            role, blocks = "user", [_text(f"<system-reminder>\n{text}\n</system-reminder>")]
        if blocks and told and told[-1]["role"] == role:
            told[-1]["content"] += blocks
        elif blocks:
            told.append({"role": role, "content": blocks})
    return _in_order(told)


def without_end_blanks(told: list[JSON]) -> list[JSON]:
    """What is told, where its end is the beginning of an answer, which must not end in blanks."""
    if told and told[-1]["role"] == "assistant" and told[-1]["content"][-1]["type"] == "text":
        told[-1]["content"][-1]["text"] = told[-1]["content"][-1]["text"].rstrip()
    return told


def expected_tools(offer: JSON, messages: Sequence[JSON] = (), choice: Any = None) -> list[JSON]:
    """
    The functions in their order.

    Where none is offered any more, those that were called are made known: the API wants that.

    :param choice: the request's ``tool_choice``, which may allow only some of them.
    """
    functions = [tool["function"] for tool in offer.get("tools") or ()] + (offer.get("functions") or [])
    if functions:
        allowed = chosen(choice) if _allows(choice) else [function["name"] for function in functions]
        return [_tool(function) for function in functions if function["name"] in allowed]
    names = dict.fromkeys(
        block["name"] for block in _blocks(expected_messages(messages)) if block["type"] == "tool_use"
    )
    return [{"name": name, "input_schema": _NO_ARGUMENTS} for name in names]


def expected_choice(body: JSON, offer: JSON, messages: Sequence[JSON]) -> JSON | None:
    """How functions are to be used; nothing is said of it where there are none."""
    if not (offer.get("tools") or offer.get("functions")):
        return {"type": "none"} if expected_tools(offer, messages) else None
    choice = body.get("tool_choice", body.get("function_call", "auto"))
    if choice == "none":
        return {"type": "none"}
    if _allows(choice):
        choice = choice["allowed_tools"]["mode"]
    told: JSON = {"type": "any" if choice == "required" else "auto"}
    if not isinstance(choice, str):
        told = {"type": "tool", "name": chosen(choice)[0]}
    if body.get("parallel_tool_calls") is False or _is_legacy(body):
        told["disable_parallel_tool_use"] = True
    return told


def _is_legacy(body: JSON) -> bool:
    """Whether an answer has a place for one call only."""
    return bool(body.get("functions")) and not body.get("tools")


def chosen(choice: JSON) -> list[str]:
    """The names in a ``tool_choice`` or ``function_call`` that names any."""
    tools = choice["allowed_tools"]["tools"] if _allows(choice) else [choice]
    return [tool.get("function", tool)["name"] for tool in tools]


def _allows(choice: Any) -> bool:
    return isinstance(choice, dict) and choice.get("type") == "allowed_tools"


def _leading(messages: Sequence[JSON]) -> Iterator[JSON]:
    for message in messages:
        if message["role"] not in _SYSTEM:
            return
        yield message


def _turns(messages: Sequence[JSON]) -> Iterator[tuple[str, list[JSON]]]:
    asked: dict[str, str] = {}
    for index, message in enumerate(messages):
        role, content = message["role"], message.get("content")
        if role in _SYSTEM and all(before["role"] in _SYSTEM for before in messages[:index]):
            continue
        if role in _SYSTEM:
            yield "system", [*map(_text, _named(message)), *_said(content)]
        elif role == "user":
            yield "user", [*map(_text, _named(message)), *_said(content)]
        elif role == "tool":
            yield "user", [{"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": _said(content)}]
        elif role == "function":
            call_id = asked.pop(message["name"])
            yield "user", [{"type": "tool_result", "tool_use_id": call_id, "content": _said(content)}]
        else:
            calls = message.get("tool_calls") or []
            if not calls and message.get("function_call"):
                calls = [{"id": f"call_messages_{index}", "function": message["function_call"]}]
                asked[message["function_call"]["name"]] = calls[0]["id"]
            yield "assistant", _said(content or message.get("refusal")) + [_use(call) for call in calls]


def _named(message: JSON) -> list[str]:
    return [f"{message['name']}:"] if message.get("name") else []


def _text(text: str) -> JSON:
    return {"type": "text", "text": text}


def _said(content: Any) -> list[JSON]:
    if content is None or isinstance(content, str):
        content = [_text(content or "")]
    return [block for part in content if (block := _block(part)) is not None]


def _texts(content: Any) -> list[str]:
    return [content] if isinstance(content, str) else [part["text"] for part in content]


def _block(part: JSON) -> JSON | None:
    kind = part["type"]
    if kind == "image_url":
        url = part["image_url"] if isinstance(part["image_url"], str) else part["image_url"]["url"]
        data = "".join(url.partition(",")[2].split())
        picture = next(name for name, begin in _BEGINNINGS.items() if b64decode(data).startswith(begin))
        return {"type": "image", "source": {"type": "base64", "media_type": picture, "data": data}}
    if kind == "file":
        declared, _, data = part["file"]["file_data"].rpartition(",")
        source = {"type": "base64", "media_type": "application/pdf", "data": "".join(data.split())}
        if declared.startswith("data:text/"):
            source = {"type": "text", "media_type": "text/plain", "data": b64decode(data).decode()}
        title = part["file"].get("filename")
        return {"type": "document", "source": source, **({"title": title} if title else {})}
    return _text(part[kind]) if part[kind].strip() else None


def _use(call: JSON) -> JSON:
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    try:
        value = json.loads(arguments or "{}", parse_int=_integer, parse_float=_number, parse_constant=_no_number)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        value = {"_unparsed": arguments}
    name = "".join(each if each.isascii() and (each.isalnum() or each in "_-") else "_" for each in name)
    return {"type": "tool_use", "id": call["id"], "name": name[:128] or "_", "input": value}


def _integer(text: str) -> int | str:
    """A number, or its digits where JavaScript would write others."""
    return int(text) if abs(int(text)) <= 2**53 or Decimal(repr(float(text))) == int(text) else text


def _number(text: str) -> float | str:
    value = float(text)
    return text if value in (float("inf"), float("-inf")) else value


def _no_number(text: str) -> float:
    raise ValueError("JSON has no such number")


def _tool(function: JSON) -> JSON:
    tool = {
        "name": function["name"],
        "input_schema": {"type": "object", **(function.get("parameters") or _NO_ARGUMENTS)},
    }
    if function.get("description"):
        tool["description"] = function["description"]
    if function.get("strict") is not None:
        tool["strict"] = function["strict"]
    return tool


# -- Which calls are meant ----------------------------------------------------


def numbered(told: list[JSON]) -> list[JSON]:
    """
    The same with calls numbered in their order, and each result after the last call before it that has its id. Which
    ids the API gets instead of repeated ones is of no interest.
    """
    calls = 0
    numbers: dict[str, str] = {}
    messages = []
    for message in told:
        blocks = []
        for block in message["content"]:
            if block["type"] == "tool_use":
                calls += 1
                numbers[block["id"]] = f"call {calls}"
                block = {**block, "id": f"call {calls}"}
            elif block["type"] == "tool_result":
                block = {**block, "tool_use_id": numbers.get(block["tool_use_id"], block["tool_use_id"])}
            blocks.append(block)
        messages.append({**message, "content": blocks})
    return _in_order(messages)


# -- What was -----------------------------------------------------------------


def recorded_messages(body: JSON) -> tuple[list[JSON], list[list[JSON]]]:
    """
    The messages of a recorded request without what the CLI notes and marks, and, for each, what the model had thought.
    """
    told: list[JSON] = []
    thoughts: list[list[JSON]] = []
    for message in body["messages"]:
        if message["role"] == "system" and not message["content"] and "output_config" in message:
            continue
        blocks = [_plain(block) for block in _listed(message["content"])]
        said = [block for block in blocks if block["type"] not in ("thinking", "redacted_thinking")]
        thought = [block for block in blocks if block not in said]
        if told and told[-1]["role"] == message["role"]:
            told[-1]["content"] += said
            thoughts[-1] += thought
        else:
            told.append({**message, "content": said})
            thoughts.append(thought)
    return _in_order(told), thoughts


def _in_order(messages: list[JSON]) -> list[JSON]:
    """Put the results of functions, which have ids and no need of an order, into one."""
    for message in messages:
        results = [block for block in message["content"] if block["type"] == "tool_result"]
        others = [block for block in message["content"] if block["type"] != "tool_result"]
        message["content"] = sorted(results, key=lambda block: block["tool_use_id"]) + others
    return messages


def _listed(content: Any) -> list[JSON]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _plain(block: JSON) -> JSON:
    kept = {key: value for key, value in block.items() if key != "cache_control"}
    if "content" in kept:
        kept["content"] = [_plain(each) for each in _listed(kept["content"])]
    return kept


def _blocks(messages: Iterable[JSON]) -> Iterator[JSON]:
    for message in messages:
        yield from message["content"]


# -- What is the same ---------------------------------------------------------


def canonical(value: Any, *, ordered: bool = False) -> Any:
    """
    A JSON value as something that compares: ``true`` is not 1, and numbers are what JavaScript, which the CLI is
    written in, can tell apart.

    :param ordered: whether the order of keys counts, those aside that JavaScript puts into an order of its own.
    """
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return (type(value).__name__, value)
    if isinstance(value, int | float):
        return ("number", float(value))
    if isinstance(value, list):
        return [canonical(each, ordered=ordered) for each in value]
    items = [(key, canonical(each, ordered=ordered)) for key, each in value.items()]
    numbers = sorted((item for item in items if item[0].isdecimal()), key=lambda item: int(item[0]))
    others = [item for item in items if not item[0].isdecimal()]
    return ("object", (numbers + others) if ordered else sorted(items, key=lambda item: item[0]))


def difference(where: str, expected: Any, got: Any) -> str:
    """Say where two JSON values differ first, and how."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in [*expected, *got]:
            if key not in expected or key not in got or canonical(expected[key]) != canonical(got[key]):
                return difference(f"{where}.{key}", expected.get(key), got.get(key))
    elif isinstance(expected, list) and isinstance(got, list):
        for index, (one, other) in enumerate(zip(expected, got, strict=False)):
            if canonical(one) != canonical(other):
                return difference(f"{where}[{index}]", one, other)
        more = expected[len(got) :] or got[len(expected) :]
        return f"{where}: {len(expected)} expected, {len(got)} came; the first more is {shown(more[:1])}"
    elif isinstance(expected, str) and isinstance(got, str):
        pairs = enumerate(zip(expected, got, strict=False))
        at = next((at for at, (one, other) in pairs if one != other), min(len(expected), len(got)))
        start, end = max(0, at - 40), at + 60
        return f"{where}, from {at}: expected {expected[start:end]!a}, got {got[start:end]!a}"
    return f"{where}: expected {shown(expected)}, got {shown(got)}"


def shown(value: Any) -> str:
    """A JSON value with its long texts cut."""
    return json.dumps(_cut(value))[:4000]


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) < 200 else f"{value[:100]}...{value[-100:]}"
    if isinstance(value, list):
        return [_cut(each) for each in value]
    return {key: _cut(each) for key, each in value.items()} if isinstance(value, dict) else value
