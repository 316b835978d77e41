"""
The JSON Schemas in a Chat Completions request, as the model's API takes them.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from claudeproxy.errors import ClaudeProxyError
from claudeproxy.wire.anthropic import ToolSchema, tool_schema
from claudeproxy.wire.json_schema import Schema, SchemaFault, modernise
from claudeproxy.wire.numbers import decode_kept
from claudeproxy.wire.validation import check_nesting, invalid, not_taken, too_deep

__all__ = ["fit_answer_schema", "fit_tool_schema"]

_LONGEST_PLACE = 200
"""Characters of a pointer that an error tells, the last ones."""


def fit_tool_schema(members: Mapping[str, msgspec.Raw], param: str) -> ToolSchema:
    """
    Return the schema of a function's arguments, with how they differ from the client's.

    :param members: the schema, its members not decoded yet.
    :raises InvalidValue: it is not an object's, nests too deeply, or cannot be said in the API's words.
    """
    schema = _decoded(members, param)
    try:
        return tool_schema(schema)
    except SchemaFault as fault:
        raise _refusal(fault, param) from None


def fit_answer_schema(members: Mapping[str, msgspec.Raw], param: str) -> Schema:
    """
    Return the schema of an answer.

    :raises InvalidValue: as :func:`fit_tool_schema` does, since not every model takes it as more than a function's.
    """
    fit_tool_schema(members, param)
    schema = _decoded(members, param)
    if isinstance(schema.get("type"), list):
        schema["type"] = "object"
    modernise(schema)
    return schema


def _decoded(members: Mapping[str, msgspec.Raw], param: str) -> Schema:
    try:
        schema = {name: decode_kept(bytes(value)) for name, value in members.items()}
    except RecursionError:
        raise too_deep(param) from None
    check_nesting(schema, param)
    return schema


def _refusal(fault: SchemaFault, param: str) -> ClaudeProxyError:
    if (fault.place, fault.keyword) == ("", "type"):
        return invalid(param, "a JSON Schema of type 'object'")
    place = fault.place if len(fault.place) <= _LONGEST_PLACE else f"...{fault.place[-_LONGEST_PLACE:]}"
    where = f" at '{place}'" if place else ""
    return not_taken(
        param,
        f"a JSON Schema of draft 2020-12, or an older one that means the same; '{fault.keyword}'{where} must be "
        f"{fault.allowed}",
    )
