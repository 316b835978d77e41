"""
The keywords of JSON Schema, draft 2020-12: where they have schemas in them, and what their values may be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["ARRAYS", "KEYWORDS", "MAPS", "RENAMED", "SINGLES", "is_number", "is_types"]

SINGLES = (
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
)
"""Keywords whose value is a schema."""
ARRAYS = ("allOf", "anyOf", "oneOf", "prefixItems")
"""Keywords whose value is an array of schemas."""
MAPS = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
"""Keywords whose value is an object of schemas."""

RENAMED = ("dependentSchemas", "properties")
"""Those of them whose members are named as properties are."""

_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_ANCHOR = re.compile(r"[A-Za-z_][-A-Za-z0-9._]*")

_Check = tuple[str, Callable[[Any], bool]]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return is_number(value) and value >= 0 and value == int(value)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value) and len(set(value)) == len(value)


def is_types(value: Any) -> bool:
    return value in _TYPES if isinstance(value, str) else bool(value) and _is_names(value) and set(value) <= {*_TYPES}


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


_STRING: _Check = ("a string", _is_string)
_NUMBER: _Check = ("a number", is_number)
_COUNT: _Check = ("an integer of at least 0", _is_count)
_BOOLEAN: _Check = ("true or false", lambda value: isinstance(value, bool))
_ARRAY: _Check = ("an array", lambda value: isinstance(value, list))
_ANY: _Check = ("anything", lambda value: True)
_SCHEMA: _Check = ("a schema: an object, true or false", lambda value: isinstance(value, dict | bool))
_NAMES: _Check = ("an array of different strings", _is_names)

KEYWORDS: Mapping[str, _Check] = {
    "$anchor": ("a letter or _, and after it letters, digits, -, _ and .", lambda value: _fits(_ANCHOR, value)),
    "$comment": _STRING,
    "$dynamicAnchor": ("a letter or _, and after it letters, digits, -, _ and .", lambda value: _fits(_ANCHOR, value)),
    "$dynamicRef": _STRING,
    "$id": ("a URI without a fragment", lambda value: isinstance(value, str) and "#" not in value[:-1]),
    "$recursiveAnchor": ("a letter or _, and after it letters, digits, -, _ and .", lambda v: _fits(_ANCHOR, v)),
    "$recursiveRef": _STRING,
    "$ref": _STRING,
    "$schema": _STRING,
    "$vocabulary": (
        "an object of booleans",
        lambda value: isinstance(value, dict) and all(isinstance(each, bool) for each in value.values()),
    ),
    "const": _ANY,
    "contentEncoding": _STRING,
    "contentMediaType": _STRING,
    "default": _ANY,
    "dependentRequired": (
        "an object of arrays of different strings",
        lambda value: isinstance(value, dict) and all(_is_names(each) for each in value.values()),
    ),
    "deprecated": _BOOLEAN,
    "description": _STRING,
    "enum": _ARRAY,
    "examples": _ARRAY,
    "exclusiveMaximum": _NUMBER,
    "exclusiveMinimum": _NUMBER,
    "format": _STRING,
    "maxContains": _COUNT,
    "maxItems": _COUNT,
    "maxLength": _COUNT,
    "maxProperties": _COUNT,
    "maximum": _NUMBER,
    "minContains": _COUNT,
    "minItems": _COUNT,
    "minLength": _COUNT,
    "minProperties": _COUNT,
    "minimum": _NUMBER,
    "multipleOf": ("a number greater than 0", lambda value: is_number(value) and value > 0),
    "pattern": _STRING,
    "readOnly": _BOOLEAN,
    "required": _NAMES,
    "title": _STRING,
    "type": (f"one of {', '.join(_TYPES)}, or an array of different ones", is_types),
    "uniqueItems": _BOOLEAN,
    "writeOnly": _BOOLEAN,
    **dict.fromkeys(SINGLES, _SCHEMA),
    **{
        keyword: (
            "a non-empty array of schemas",
            lambda value: isinstance(value, list) and bool(value) and all(_SCHEMA[1](each) for each in value),
        )
        for keyword in ARRAYS
    },
    **{
        keyword: (
            "an object of schemas",
            lambda value: isinstance(value, dict) and all(isinstance(each, dict | bool) for each in value.values()),
        )
        for keyword in MAPS
    },
}
"""What the draft's own schema says of each keyword; of others it says nothing."""


def _fits(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
