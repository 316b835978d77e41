"""
The schemas of functions as the Messages API takes them.

Beyond draft 2020-12 of JSON Schema the API wants three things of a function's ``input_schema``: its type is ``object``,
it has no ``anyOf``, ``oneOf`` or ``allOf`` at the top, and the names of its properties keep to a pattern. OpenAI wants
none of the last two. So a property is offered under another name where its own does not fit, and all arguments below
one property where the schema has such a keyword at the top, for that means the same; what the model calls the function
with is changed back.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import Any

from attrs import frozen

from claudeproxy.core.arguments import ArgumentNames
from claudeproxy.wire.json_schema import (
    Place,
    Schema,
    SchemaFault,
    describe,
    modernise,
    pointer,
    refer_anew,
    subschemas,
)
from claudeproxy.wire.json_schema_keywords import RENAMED

__all__ = ["PROPERTY_NAME", "TOP_LEVEL", "ToolSchema", "tool_schema"]

PROPERTY_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
"""What the API takes as the name of a property."""
TOP_LEVEL = ("oneOf", "allOf", "anyOf")
"""Keywords that it does not take at the top."""

_WRAPPER = "arguments"
_HOISTED = ("$defs", "$id", "definitions")
"""What stays at the top, so that references find it."""
_OTHERS = re.compile(r"[^a-zA-Z0-9_.-]+")
_READABLE = 40
"""Characters of a name that are kept of a name that does not fit."""
_DIGEST = 10
"""Hexadecimal digits behind them."""
_NAMING = ("const", "enum")
"""Of the schemas of names, what can be said of other names."""


@frozen
class ToolSchema:
    """
    A schema that the API takes.
    """

    schema: Schema
    names: ArgumentNames
    """How the arguments differ from what the client's schema asks for."""
    count: int = 1
    """Of schemas in it, itself included."""


def tool_schema(given: Schema) -> ToolSchema:
    """
    Return a schema as the API takes it. The given one is changed.

    :param given: of any draft, decoded by ``decode_kept``; its numbers that no double holds are told in words.
    :raises SchemaFault: it is none of an object, or cannot be said in the API's words.
    """
    _as_object(given)
    modernise(given)
    count = sum(1 for _ in subschemas(given))
    renamed = _rename(given)
    schema, wrapper = _wrapped(given, renamed)
    if renamed and not wrapper:
        refer_anew(schema, renamed, "")
    names = ArgumentNames({told: name for name, told in renamed.items()}, wrapper)
    return ToolSchema(schema, names, count)


def _as_object(schema: Schema) -> None:
    """
    Give a schema the type without which the API takes none; arguments are always an object.

    :raises SchemaFault: it is another type's.
    """
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else ["object"] if kind is None else [kind]
    if "object" not in kinds:
        raise SchemaFault("", "type", "'object'")
    schema.pop("nullable", None)
    rest = {name: value for name, value in schema.items() if name != "type"}
    schema.clear()
    schema.update({"type": "object", **rest})


# -- Names --------------------------------------------------------------------


def _rename(schema: Schema) -> dict[str, str]:
    """
    Rename the properties whose names the API does not take; return their new names by the old ones.
    """
    unfit: dict[str, None] = {}
    fits = PROPERTY_NAME.fullmatch
    for _, each in subschemas(schema):
        unfit.update(dict.fromkeys([name for name in each.get("properties") or () if not fits(name)]))
    if not unfit:
        return {}
    names: dict[str, None] = {}
    for _, each in subschemas(schema):
        for keyword in ("properties", "dependentRequired", "dependentSchemas", "required"):
            names.update(dict.fromkeys(each.get(keyword) or ()))
    renamed = {}
    taken = set(names)
    for name in unfit:
        renamed[name] = _fitting(name, taken)
        taken.add(renamed[name])
    for place, each in subschemas(schema):
        _rename_in(each, place, renamed)
    return renamed


def _fitting(name: str, taken: set[str]) -> str:
    """
    Return a name that the API takes, and nobody has by chance: as much of the old one as can be read, and a digest.
    """
    readable = _OTHERS.sub("_", name[:_READABLE]).strip("_.-")
    digest = sha256(name.encode(errors="replace")).hexdigest()
    length = _DIGEST
    while True:
        told = f"{readable}_{digest[:length]}" if readable else f"p_{digest[:length]}"
        if told not in taken:
            return told
        length += 1
        if length > len(digest):
            digest += sha256(digest.encode()).hexdigest()
            readable, length = "", _DIGEST + 1


def _rename_in(schema: Schema, place: Place, renamed: dict[str, str]) -> None:
    """
    Rename properties in one schema, and leave those within it.
    """
    properties = schema.get("properties") or {}
    here = [name for name in properties if name in renamed]
    if here:
        _check_patterns(schema, place, here, renamed)
    for name in here:
        each = properties[name]
        words = f"named {json.dumps(name, ensure_ascii=False)}"
        if each is True:
            properties[name] = {"description": f"({words})"}
        elif isinstance(each, dict):
            describe(each, words)
    for keyword in (*RENAMED, "dependentRequired"):
        if keyword in schema:
            schema[keyword] = {renamed.get(name, name): value for name, value in schema[keyword].items()}
    if "required" in schema:
        schema["required"] = [renamed.get(name, name) for name in schema["required"]]
    if "dependentRequired" in schema:
        schema["dependentRequired"] = {
            name: [renamed.get(each, each) for each in needed] for name, needed in schema["dependentRequired"].items()
        }


def _check_patterns(schema: Schema, place: Place, here: list[str], renamed: dict[str, str]) -> None:
    """
    Check that what is said of names that match something holds of the new names as well.

    :raises SchemaFault: it does not, or nobody can say.
    """
    for pattern in schema.get("patternProperties") or ():
        try:
            compiled = re.compile(pattern)
            same = all(bool(compiled.search(name)) == bool(compiled.search(renamed[name])) for name in here)
        except (re.error, RecursionError):
            same = False
        if not same:
            raise SchemaFault(pointer(place), "patternProperties", f"left out beside a property named {here[0]!r}")
    naming = schema.get("propertyNames")
    if isinstance(naming, dict):
        for keyword in naming:
            if keyword not in (*_NAMING, "description", "title", "type", "$comment"):
                raise SchemaFault(pointer(place), "propertyNames", f"left out beside a property named {here[0]!r}")
        if isinstance(naming.get("enum"), list):
            naming["enum"] = [renamed.get(each, each) if isinstance(each, str) else each for each in naming["enum"]]
        if isinstance(naming.get("const"), str):
            naming["const"] = renamed.get(naming["const"], naming["const"])


# -- The top ------------------------------------------------------------------


def _wrapped(schema: Schema, renamed: dict[str, str]) -> tuple[Schema, str]:
    """
    Put a schema that has a keyword at the top that the API does not take there below a property, which has its name.
    """
    if not any(keyword in schema for keyword in TOP_LEVEL):
        return schema, ""
    _check_object(schema)
    wrapper = _fitting(_WRAPPER, set())
    top: Schema = {
        "type": "object",
        "properties": {wrapper: schema},
        "required": [wrapper],
        "additionalProperties": False,
    }
    for keyword in _HOISTED:
        if keyword in schema:
            top[keyword] = schema.pop(keyword)
    schema.pop("$schema", None)
    refer_anew(top, renamed, f"/properties/{wrapper}")
    return top, wrapper


def _check_object(schema: Schema) -> None:
    """
    Check that there is an object that a schema with such keywords may describe.

    :raises SchemaFault: all that it allows is something else.
    """
    for keyword in TOP_LEVEL:
        fits = [_may_be_object(each) for each in schema.get(keyword) or ()]
        if fits and not (all(fits) if keyword == "allOf" else any(fits)):
            raise SchemaFault("", keyword, "schemas of type 'object', as arguments are objects")


def _may_be_object(schema: Any) -> bool:
    kind = schema.get("type", "object") if isinstance(schema, dict) else "object" if schema else ""
    return bool(kind == "object" or (isinstance(kind, list) and "object" in kind))
