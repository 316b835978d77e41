"""
JSON Schemas of every draft, rewritten to draft 2020-12.

Clients send what their libraries make: tuples as arrays in ``items``, ``exclusiveMinimum: true``, ``required`` within a
property. Anthropic's API takes draft 2020-12 alone. What earlier drafts meant is said in its words; what is a schema of
no draft is refused, with the keyword's name and what it may be.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from claudeproxy.wire.json_schema_keywords import ARRAYS, KEYWORDS, MAPS, RENAMED, SINGLES, is_number, is_types
from claudeproxy.wire.numbers import LongNumber

__all__ = ["Place", "Schema", "SchemaFault", "describe", "modernise", "pointer", "refer_anew", "subschemas"]

Schema = dict[str, Any]

_LONGEST_NUMBER = 200
_HELD = "made of numbers that a double holds"
_MOST = 20_000
"""Schemas in one, itself included. OpenAI takes 5,000 properties."""
_OLD = frozenset({"additionalItems", "dependencies", "divisibleBy", "id", "nullable"})
"""Keywords that the draft does not have."""
_WITHIN = frozenset({*SINGLES, *ARRAYS, *MAPS})

Place = tuple[Any, ...]
"""Where something is in a schema: the place of what it is in, and the steps from there; nothing at the top."""


class SchemaFault(Exception):
    """
    What is no JSON Schema of draft 2020-12, and cannot be made one.

    :param place: where in the schema, as a JSON pointer; empty for the schema itself.
    :param keyword: at fault there.
    :param allowed: what its value may be, or what is to be done about it.
    """

    def __init__(self, place: str, keyword: str, allowed: str) -> None:
        super().__init__(f"{place}/{keyword}: {allowed}")
        self.place = place
        self.keyword = keyword
        self.allowed = allowed


# -- Rewriting ----------------------------------------------------------------


def subschemas(schema: Schema) -> Iterator[tuple[Place, Schema]]:
    """
    Yield a schema and all that are within it, each with its place. What is changed in one before the next is asked for
    counts.

    :raises SchemaFault: there are too many to look at while others wait.
    """
    # Not by recursion: they may nest as deeply as Python has frames.
    waiting: list[tuple[Place, Schema]] = [((), schema)]
    seen = 0
    while waiting:
        place, each = waiting.pop()
        seen += 1
        if seen > _MOST:
            raise SchemaFault("", "properties", f"at most {_MOST} schemas in all")
        yield place, each
        for keyword, value in each.items():
            if keyword in _WITHIN:
                if isinstance(value, dict):
                    if keyword in MAPS:
                        waiting += [((place, keyword, name), v) for name, v in value.items() if isinstance(v, dict)]
                    elif keyword in SINGLES:
                        waiting.append(((place, keyword), value))
                elif isinstance(value, list) and keyword in ARRAYS:
                    waiting += [((place, keyword, str(at)), v) for at, v in enumerate(value) if isinstance(v, dict)]


def pointer(place: Place) -> str:
    """
    Return a place as a JSON pointer.
    """
    pieces: list[str] = []
    while place:
        place, *steps = place
        pieces += reversed([f"/{_step(step)}" for step in steps])
    return "".join(reversed(pieces))


def modernise(schema: Schema) -> bool:
    """
    Make a schema one of draft 2020-12, in place; return whether anything was changed.

    :raises SchemaFault: it is of no draft.
    """
    changed = False
    long = _has_long_numbers(schema)
    for place, each in subschemas(schema):
        if not long and _is_modern(each):
            continue
        before = dict(each)
        _modernise(each, place)
        for keyword, value in each.items():
            check = KEYWORDS.get(keyword)
            if check is not None and not check[1](value):
                raise SchemaFault(pointer(place), keyword, check[0])
        # Replaced values are others; nothing else is looked into.
        changed = changed or list(before) != list(each) or any(before[name] is not each[name] for name in each)
    if changed:
        # It names another draft, or this one, which is meant without it.
        schema.pop("$schema", None)
        refer_anew(schema, {}, "")
    return changed


def _is_modern(schema: Schema) -> bool:
    """
    Whether nothing in a schema is of an older draft; what is within it is looked at by itself, but for one thing that
    its properties may say of it.
    """
    for keyword, value in schema.items():
        check = KEYWORDS.get(keyword)
        if keyword in _OLD if check is None else not check[1](value):
            return False
    properties = schema.get("properties")
    return not properties or not any(
        isinstance(each, dict) and isinstance(each.get("required"), bool) for each in properties.values()
    )


def _modernise(schema: Schema, place: Place) -> None:
    for keyword in [name for name, value in schema.items() if value is None and name in _NOT_NULL]:
        del schema[keyword]
    _without_long_numbers(schema, place)
    _bounds(schema)
    _tuples(schema, place)
    _dependencies(schema, place)
    _types(schema)
    _names(schema)
    for keyword in ("id", "$id"):
        # Draft 4 to 7 had the anchors there.
        identity = schema.get(keyword)
        if isinstance(identity, str) and identity.startswith("#") and len(identity) > 1:
            del schema[keyword]
            schema.setdefault("$anchor", identity[1:])
    if "examples" in schema and not isinstance(schema["examples"], list):
        schema["examples"] = [schema["examples"]]
    if "multipleOf" not in schema and is_number(schema.get("divisibleBy")) and schema["divisibleBy"] > 0:
        schema["multipleOf"] = schema.pop("divisibleBy")
    _required(schema)


_NOT_NULL = frozenset({*KEYWORDS, "additionalItems", "dependencies", "id"} - {"const", "default"})
"""Keywords that cannot be null; where they are, they are not there."""


def _bounds(schema: Schema) -> None:
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        excludes = schema.get(exclusive)
        if isinstance(excludes, bool):
            del schema[exclusive]
            if excludes and is_number(schema.get(bound)):
                schema[exclusive] = schema.pop(bound)


def _tuples(schema: Schema, place: Place) -> None:
    items = schema.get("items")
    if isinstance(items, list):
        if "prefixItems" in schema:
            raise SchemaFault(pointer(place), "items", "a schema, where there are prefixItems")
        del schema["items"]
        if items:
            schema["prefixItems"] = items
        if "additionalItems" in schema:
            schema["items"] = schema.pop("additionalItems")
    else:
        # Without a tuple it never meant anything.
        schema.pop("additionalItems", None)


def _dependencies(schema: Schema, place: Place) -> None:
    dependencies = schema.get("dependencies")
    if dependencies is None:
        return
    if not isinstance(dependencies, dict):
        raise SchemaFault(pointer(place), "dependencies", "an object of schemas and arrays of strings")
    del schema["dependencies"]
    for name, needs in dependencies.items():
        wanted = [needs] if isinstance(needs, str) else needs
        keyword = "dependentRequired" if isinstance(wanted, list) else "dependentSchemas"
        members = schema.setdefault(keyword, {})
        if not isinstance(members, dict) or name in members:
            raise SchemaFault(pointer(place), "dependencies", f"{keyword} alone, where both name the same property")
        members[name] = wanted


def _types(schema: Schema) -> None:
    kind = schema.get("type")
    if kind == "any":
        # Draft 3.
        del schema["type"]
    elif isinstance(kind, list) and all(isinstance(each, str) for each in kind):
        if "any" in kind:
            del schema["type"]
        elif len(set(kind)) < len(kind):
            schema["type"] = list(dict.fromkeys(kind))
    # OpenAPI 3.0.
    nullable = schema.get("nullable")
    kind = schema.get("type")
    if isinstance(nullable, bool) and (not nullable or is_types(kind)):
        del schema["nullable"]
        kinds = [kind] if isinstance(kind, str) else kind
        if nullable and kinds is not None and "null" not in kinds:
            schema["type"] = [*kinds, "null"]


def _names(schema: Schema) -> None:
    names = schema.get("required")
    if isinstance(names, list) and all(isinstance(each, str) for each in names) and len(set(names)) < len(names):
        schema["required"] = list(dict.fromkeys(names))


def _required(schema: Schema) -> None:
    """
    Say of an object what draft 3 said of its properties: which must be there.
    """
    schema_required = schema.get("required")
    if isinstance(schema_required, bool):
        # Of no property: nobody can do without it.
        del schema["required"]
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return
    names = []
    for name, each in properties.items():
        if isinstance(each, dict) and isinstance(each.get("required"), bool) and each.pop("required"):
            names.append(name)
    given = schema.get("required", [])
    if names and isinstance(given, list):
        schema["required"] = [*given, *(name for name in names if name not in given)]


# -- Numbers that get lost on the way -----------------------------------------


def _without_long_numbers(schema: Schema, place: Place) -> None:
    """
    Tell in words what has a number that no double holds, which would arrive as another one.
    """
    for keyword in list(schema):
        if keyword in SINGLES or keyword in ARRAYS or keyword in MAPS or not _has_long_numbers(schema[keyword]):
            continue
        value = schema.pop(keyword)
        if keyword in ("dependencies", "dependentRequired", "description", "required", "type") or keyword[0:1] == "$":
            raise SchemaFault(pointer(place), keyword, KEYWORDS[keyword][0] if keyword in KEYWORDS else _HELD)
        try:
            written = json.dumps(_marked(value), ensure_ascii=False).replace('"\ue000', "").replace('\ue000"', "")
        except RecursionError:
            raise SchemaFault(pointer(place), keyword, _HELD) from None
        if len(written) > _LONGEST_NUMBER:
            raise SchemaFault(pointer(place), keyword, _HELD)
        describe(schema, f"{json.dumps(keyword, ensure_ascii=False)}: {written}")


def describe(schema: Schema, words: str) -> None:
    """
    Put words before a schema's description.
    """
    description = schema.get("description")
    schema["description"] = f"({words}) {description}" if isinstance(description, str) else f"({words})"


def _has_long_numbers(value: Any) -> bool:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, LongNumber):
            return True
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return False


def _marked(value: Any) -> Any:
    if isinstance(value, LongNumber):
        return f"\ue000{value}\ue000"
    if isinstance(value, dict):
        return {name: _marked(each) for name, each in value.items()}
    return [_marked(each) for each in value] if isinstance(value, list) else value


# -- References ---------------------------------------------------------------


def refer_anew(schema: Schema, renamed: Mapping[str, str], below: str) -> None:
    """
    Have a rewritten schema's references within itself lead to where they led before.

    :param renamed: new names of properties by their old ones.
    :param below: the pointer of where the schema was put, all but its definitions; empty where it stayed.
    """
    for _, each in subschemas(schema):
        for keyword in ("$ref", "$dynamicRef"):
            reference = each.get(keyword)
            if isinstance(reference, str) and (reference == "#" or reference.startswith("#/")):
                each[keyword] = "#" + _followed(reference[1:], schema, renamed, below)


def _followed(pointer: str, root: Schema, renamed: Mapping[str, str], below: str) -> str:
    steps = pointer.split("/")[1:]
    hoisted = bool(steps) and steps[0] in ("$defs", "definitions")
    taken: list[str] = [] if hoisted or not below else below.split("/")[1:]
    node: Any = root
    for step in taken:
        node = node.get(step) if isinstance(node, dict) else None
    names_follow = False
    for step, following in zip(steps, [*steps[1:], ""], strict=False):
        if names_follow:
            step = _step(renamed[_name(step)]) if taken[-1] in RENAMED and _name(step) in renamed else step
            names_follow = False
        elif isinstance(node, dict):
            step = _moved(step, following, node)
            names_follow = step in MAPS
        taken.append(step)
        if isinstance(node, dict):
            node = node.get(_name(step))
        elif isinstance(node, list):
            node = node[int(step)] if step.isdigit() and int(step) < len(node) else None
    return "".join(f"/{step}" for step in taken)


def _moved(keyword: str, following: str, schema: Schema) -> str:
    """
    Return under what keyword a schema now has what was under this one.
    """
    if keyword == "items" and following.isdigit() and "prefixItems" in schema:
        return "prefixItems"
    if keyword == "additionalItems":
        return "items"
    return "dependentSchemas" if keyword == "dependencies" else keyword


def _step(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _name(step: str) -> str:
    return re.sub("(?:%[0-9a-fA-F]{2})+", lambda found: _percent(found[0]), step).replace("~1", "/").replace("~0", "~")


def _percent(text: str) -> str:
    return bytes.fromhex(text.replace("%", "")).decode(errors="replace")
