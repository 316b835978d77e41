"""
The smallest thing that a JSON Schema allows: what a stub answers when it is asked for an object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["BadSchema", "instance"]

_DEEPEST = 8
"""Below that, a schema that refers to itself gets nulls."""

_LONGEST = 1000
"""Longer arrays and strings are not made, whatever a schema wants."""

_SCALARS: Mapping[str, Any] = {"boolean": False, "null": None}


class BadSchema(ValueError):
    """
    What is no JSON Schema.
    """


def instance(schema: Mapping[str, Any]) -> Any:
    """
    Return a value for a schema; of the keywords that restrict it, those that are common count.

    :raises BadSchema: a keyword has a value that it cannot have.
    """
    try:
        return _instance(schema, schema, 0)
    except (AttributeError, LookupError, TypeError) as error:
        raise BadSchema(f"not a JSON Schema: {error}") from error


def _instance(schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    if "$ref" in schema:
        return _instance(_referred(schema["$ref"], root), root, depth + 1)
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if schema.get("enum"):
        return schema["enum"][0]
    for keyword in ("anyOf", "oneOf", "allOf"):
        if schema.get(keyword):
            return _instance(schema[keyword][0], root, depth)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {name: _instance(each, root, depth + 1) for name, each in (schema.get("properties") or {}).items()}
    if kind == "array":
        return [_instance(schema.get("items", {}), root, depth + 1)] * min(max(1, schema.get("minItems", 1)), _LONGEST)
    if kind == "string":
        return "a word".ljust(min(schema.get("minLength", 0), _LONGEST), ".")[: schema.get("maxLength")]
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    return _SCALARS.get(kind)


def _referred(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(step) if step and isinstance(found, Mapping) else found
    return found
