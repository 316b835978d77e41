"""
What the stub of Anthropic's API refuses of a function's schema, in the API's words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

__all__ = ["schema_refusal"]

_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_COMBINED = ("oneOf", "allOf", "anyOf")


def schema_refusal(index: int, schema: Any) -> str | None:
    """
    Return what the API says of an ``input_schema`` that it does not take; None when it does.

    :param index: of the tool among all.
    """
    where = f"tools.{index}.custom.input_schema"
    if not isinstance(schema, Mapping) or "type" not in schema:
        return f"{where}.type: Field required"
    if schema["type"] != "object":
        return f"{where}.type: Input should be 'object'"
    if any(keyword in schema for keyword in _COMBINED):
        return f"{where}: input_schema does not support oneOf, allOf, or anyOf at the top level"
    if not all(_NAME.fullmatch(name) for name in _properties(schema)):
        return f"{where}.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{{1,64}}$'"
    if not _is_valid(schema):
        return (
            f"{where}: JSON schema is invalid. It must match JSON Schema draft 2020-12 "
            "(https://json-schema.org/draft/2020-12)."
        )
    return None


def _properties(schema: Any) -> Iterator[str]:
    """Yield the names of all properties, wherever they are."""
    waiting = [schema]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            if isinstance(each.get("properties"), Mapping):
                yield from each["properties"]
            for keyword, value in each.items():
                if keyword in _NAMED and isinstance(value, Mapping):
                    # One of them may be called "properties".
                    waiting += value.values()
                elif keyword not in _DATA:
                    waiting.append(value)
        elif isinstance(each, list):
            waiting += each


_NAMED = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_DATA = ("const", "default", "enum", "examples")


@cache
def _validator() -> Any:
    try:
        from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
    except ImportError:
        # The demonstration runs without what the tests need.
        return None
    return Draft202012Validator(Draft202012Validator.META_SCHEMA)


def _is_valid(schema: Any) -> bool:
    validator = _validator()
    try:
        return validator is None or bool(validator.is_valid(schema))
    except RecursionError:
        # It nests more deeply than the library can follow; the API can.
        return True
