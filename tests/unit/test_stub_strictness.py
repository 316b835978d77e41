"""
The stub of Anthropic's API refuses what the guides to each model say that it refuses.
"""

from __future__ import annotations

from typing import Any

import pytest

from claudeproxy.testing.strictness import refusal, signature

TOOL = {"name": "add", "input_schema": {"type": "object"}}
HI: dict[str, Any] = {"role": "user", "content": "Hi"}
ASKED: dict[str, dict[str, Any]] = {
    "prefill": {"messages": [HI, {"role": "assistant", "content": "It"}]},
    "sampling": {"temperature": 0.5},
    "forced": {"tools": [TOOL], "tool_choice": {"type": "any"}},
    "system": {"messages": [HI, {"role": "system", "content": "Be brief."}, HI]},
    "budget": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    "disabled": {"thinking": {"type": "disabled"}},
}


def request(model: str, **fields: Any) -> dict[str, Any]:
    """A request."""
    return {"model": model, "max_tokens": 5, "messages": [HI], **fields}


@pytest.mark.parametrize(
    ("model", "refused"),
    [
        ("claude-sonnet-4-5-20250929", ["system"]),
        ("claude-haiku-4-5", ["system"]),
        ("claude-3-7-sonnet-20250219", []),
        ("claude-opus-4-20250514", ["system"]),
        ("claude-sonnet-4-6", ["prefill", "system"]),
        ("claude-opus-4-7", ["prefill", "sampling", "system", "budget"]),
        ("claude-sonnet-5", ["prefill", "sampling", "budget"]),
        ("claude-haiku-5-5", ["prefill", "sampling", "budget"]),
        ("claude-opus-5-5", ["prefill", "sampling", "forced", "budget", "disabled"]),
        ("claude-sonnet-5-5[1m]", ["prefill", "sampling", "forced", "budget", "disabled"]),
        ("claude-fable-5-2", ["prefill", "sampling", "forced", "budget", "disabled"]),
        ("claude-test", []),
    ],
)
def test_each_model_refuses_its_own(model: str, refused: list[str]) -> None:
    """What one model takes another one refuses; one that nobody knows takes everything."""
    told = {asked: refusal(request(model, **fields)) for asked, fields in ASKED.items()}

    assert [asked for asked in told if told[asked] is not None] == refused
    assert all(refusal(request(model, **fields), strict=False) is None for fields in ASKED.values())


@pytest.mark.parametrize(
    ("model", "changed", "taken"),
    [
        ("claude-sonnet-5-5", {}, True),
        ("claude-sonnet-5-5", {"system": "Be long."}, False),
        ("claude-sonnet-5-5", {"tools": [TOOL, {**TOOL, "name": "subtract"}]}, False),
        ("claude-sonnet-5-5", {"said": "Ho"}, False),
        ("claude-sonnet-5-5", {"model": "claude-opus-5-5"}, True),
        ("claude-haiku-5-5", {"said": "Ho"}, False),
        ("claude-opus-4-8", {"said": "Ho"}, True),
    ],
)
def test_thoughts_are_bound_to_what_was_said(model: str, changed: dict[str, Any], taken: bool) -> None:
    """The newest models take one back only after what it came after; what another model thought says nothing."""
    asked = request(model, system=[{"type": "text", "text": "Be brief."}], tools=[TOOL])
    thought = {"type": "thinking", "thinking": "", "signature": signature(asked)}
    fields = {name: changed[name] for name in changed if name != "said"}
    said = {"role": "user", "content": [{"type": "text", "text": changed.get("said", "Hi"), "cache_control": {}}]}
    messages = [said, {"role": "assistant", "content": [thought, {"type": "text", "text": "Yes"}]}, HI]

    assert (refusal({**asked, **fields, "messages": messages}) is None) == taken


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, "tools.1.custom.input_schema.type: Field required"),
        ({"type": "array"}, "tools.1.custom.input_schema.type: Input should be 'object'"),
        ({"type": ["object", "null"]}, "tools.1.custom.input_schema.type: Input should be 'object'"),
        ({"type": "object", "anyOf": [{}]}, "does not support oneOf, allOf, or anyOf at the top level"),
        ({"type": "object", "oneOf": [{}]}, "does not support oneOf, allOf, or anyOf at the top level"),
        ({"type": "object", "properties": {"$x": {}}}, "Property keys should match pattern"),
        (
            {"type": "object", "$defs": {"a": {"anyOf": [{"properties": {"": {}}}]}}},
            "Property keys should match pattern",
        ),
        ({"type": "object", "properties": {"a": {"items": [{}]}}}, "JSON schema is invalid"),
        ({"type": "object", "properties": {"a": {"exclusiveMinimum": True}}}, "JSON schema is invalid"),
        ({"type": "object", "properties": {"a": {"type": "any"}}}, "JSON schema is invalid"),
        ({"type": "object", "properties": {"properties": {"anyOf": [{}]}}, "default": {"properties": {"$x": 1}}}, None),
    ],
)
def test_schemas_of_functions_are_checked(schema: dict[str, Any], words: str | None) -> None:
    """Every model wants the same of them."""
    told = refusal(request("claude-test", tools=[TOOL, {"name": "f", "input_schema": schema}]), strict=False)

    assert told is None if words is None else words in (told or "")
