"""
What the stub of Anthropic's API refuses, as the API does: some things from everybody, others with some models.

Which model takes what is told by the API's guides to migration and to preserved thinking (platform.claude.com, read in
November 2026), the words of most refusals by those who met them. A model that is unknown here takes everything.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from claudeproxy.testing.bodies import blocks_of
from claudeproxy.testing.schemas import schema_refusal

__all__ = ["asked", "refusal", "refused_by", "signature", "words_against"]

_FULL_ID = re.compile(r"claude-([a-z]+)-(\d+)(?:-(\d)(?!\d))?")

_WORDS = {
    "format": "output_config.format: not supported for this model.",
    "strict": "tools: The compiled grammar of strict tools is too large.",
    "thoughts": "messages: Invalid `signature` in `thinking` block.",
    "system": 'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter.',
    "prefill": "Prefilling assistant messages is not supported for this model.",
    "sampling": "`temperature` and `top_p` are deprecated for this model.",
    "forced": 'tool_choice: type "tool" and "any" are not supported for this model.',
    "thinking enabled": '"thinking.type.enabled" is not supported for this model.',
    "thinking disabled": '"thinking.type.disabled" is not supported for this model.',
}

_BILLING = "x-anthropic-billing-header:"
"""How a text begins that the CLI tells the API and not the model; processes differ in it."""

_UNBOUND = (
    "{path}: Invalid `signature` in `thinking` block. The block is bound to a different conversation. Remove the "
    'block, or set `thinking.block_binding.prefix_mismatch_behavior` to "drop_block".'
)


def refusal(body: Mapping[str, Any], *, strict: bool = True) -> str | None:
    """
    Return what the API says of a request that it does not take; None when it does.

    :param body: of the form that the API wants.
    :param strict: whether models differ in what they take.
    """
    if not body["messages"]:
        return "messages: at least one message is required"
    if not all(stop.strip() for stop in body.get("stop_sequences") or ()):
        return "stop_sequences: each stop sequence must contain non-whitespace"
    names = [tool["name"] for tool in body.get("tools") or ()]
    if len(set(names)) < len(names):
        return "tools: Tool names must be unique."
    chosen = (body.get("tool_choice") or {}).get("name")
    if chosen is not None and chosen not in names:
        return f"tool_choice: Tool '{chosen}' not found in provided tools"
    for index, tool in enumerate(body.get("tools") or ()):
        if wrong := schema_refusal(index, tool.get("input_schema")):
            return wrong
    unwanted = refused_by(str(body.get("model"))) if strict else frozenset()
    for each in asked(body):
        if each in unwanted:
            return words_against(each)
    return _unbound(body) if "other thoughts" in unwanted else None


def asked(body: Mapping[str, Any]) -> Iterator[str]:
    """
    Yield what a request asks for, of all that a model may refuse.
    """
    messages = body["messages"]
    if (body.get("output_config") or {}).get("format"):
        yield "format"
    if any(message.get("role") == "system" and message.get("content") for message in messages):
        yield "system"
    if messages and messages[-1].get("role") == "assistant":
        yield "prefill"
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        yield "forced"
    if any(tool.get("strict") for tool in body.get("tools") or ()):
        yield "strict"
    if body.get("temperature", 1) != 1 or body.get("top_p", 1) != 1:
        yield "sampling"
    if any(True for _ in _thoughts(messages)):
        yield "thoughts"
    thinking = body.get("thinking")
    if isinstance(thinking, Mapping):
        yield f"thinking {thinking.get('type')}"


def words_against(asked: str) -> str:
    """
    Return with what words the API refuses something, named as :func:`asked` names it.
    """
    return _WORDS[asked]


def refused_by(model: str) -> frozenset[str]:
    """
    Return what a model takes in no request, in the words of :func:`asked`; and ``other thoughts``, which are those that
    it had after something else.
    """
    found = _FULL_ID.search(model)
    if found is None:
        return frozenset()
    family, version = found[1], (int(found[2]), int(found[3] or 0))
    since = {
        "prefill": (4, 6),
        "sampling": (5, 0) if family == "sonnet" else (4, 7),
        "thinking enabled": (5, 0) if family == "sonnet" else (4, 7),
        "forced": (5, 1) if family in ("fable", "mythos") else (5, 5),
        "thinking disabled": (5, 0) if family in ("fable", "mythos") else (5, 5),
        "other thoughts": (5, 1) if family in ("fable", "mythos") else (5, 5),
    }
    if family == "haiku":
        del since["forced"], since["thinking disabled"]
    refused = {each for each, first in since.items() if version >= first}
    return frozenset(refused | ({"system"} if version < (4, 8) else set()))


# -- Thoughts are bound to what was said before them ---------------------------


def signature(body: Mapping[str, Any], messages: Sequence[Mapping[str, Any]] | None = None) -> str:
    """
    Return the signature of what a model thinks after ``messages``, or after all that a request holds.
    """
    told = body["messages"] if messages is None else messages
    said = [_bare(block, message) for message in told for block in blocks_of(message.get("content"))]
    system = [each for each in blocks_of(body.get("system")) if not str(each.get("text")).startswith(_BILLING)]
    prefix = [system, body.get("tools") or [], said]
    digest = sha256(json.dumps(_without_marks(prefix)).encode()).hexdigest()
    return b64encode(f"{body.get('model')} {digest}".encode()).decode()


def _unbound(body: Mapping[str, Any]) -> str | None:
    messages = body["messages"]
    for at, place, block in _thoughts(messages):
        before = {**messages[at], "content": messages[at]["content"][:place]}
        bound, wanted = str(block.get("signature")), signature(body, [*messages[:at], before])
        if bound != wanted and _thinker(bound) == _thinker(wanted):
            return _UNBOUND.format(path=f"messages.{at}.content.{place}")
    return None


def _thinker(signature: str) -> bytes:
    """Return the model that thought; what another thought is left out, and nothing is said of it."""
    try:
        return b64decode(signature).partition(b" ")[0]
    except ValueError:
        return b""


def _thoughts(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, int, Mapping[str, Any]]]:
    for at, message in enumerate(messages):
        for place, block in enumerate(blocks_of(message.get("content"))):
            if block.get("type") == "thinking":
                yield at, place, block


def _bare(block: Mapping[str, Any], message: Mapping[str, Any]) -> list[Any]:
    content = {"content": [sorted(each.items()) for each in blocks_of(block["content"])]} if "content" in block else {}
    # In what order a block says what it is, is of no interest; in what order a function's arguments come may be.
    return [message["role"], sorted({**block, **content}.items(), key=lambda item: item[0])]


def _without_marks(value: Any) -> Any:
    """What says what to keep in the cache, and for how long, is no part of what was said."""
    if isinstance(value, Mapping):
        return {name: _without_marks(each) for name, each in value.items() if name != "cache_control"}
    if isinstance(value, list | tuple):
        return [_without_marks(each) for each in value if not (isinstance(each, tuple) and each[0] == "cache_control")]
    return value
