"""
Typed decoding of request bodies, with errors that a client can act on.

msgspec decodes and names the path at fault (``$.messages[0].role``); here it becomes OpenAI's ``param``, and what
is allowed at it is read from the very types that the body was to be decoded to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

import msgspec
from msgspec import inspect

from claudeproxy.errors import (
    ClaudeProxyError,
    InvalidJSON,
    InvalidValue,
    MissingParameter,
    NotTakenHere,
    UnsupportedParameter,
)
from claudeproxy.wire.surrogates import surrogate_fault

__all__ = ["check_nesting", "decode", "invalid", "missing", "nests_too_deeply", "not_taken", "too_deep", "unsupported"]

T = TypeVar("T")

_PLACE = re.compile(r" - at (?P<key>`key` in )?`\$\.?(?P<path>[^`]*)`$")
_MISSING_FIELD = re.compile(r"Object missing required field `([^`]*)`")
_GOT_TYPE = re.compile(r", got `(\w+)`$")
_GOT_VALUE = re.compile(r"Invalid enum value '?(.*?)'?$", re.DOTALL)
_STEP = re.compile(r"\[[^\]]*\]|[^.\[]+")
_LONGEST_TOLD = 40

_MOST_LEVELS = 500
"""Of what a client brings along as it is. The decoder takes nearly as many levels as Python has frames left, and what
writes them anew, further down the stack, would have too few."""

_TYPE_NAMES = {
    "array": "an array",
    "bool": "a boolean",
    "float": "a number",
    "int": "an integer",
    "null": "null",
    "object": "an object",
    "str": "a string",
}


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """
    Decode a JSON body.

    :raises InvalidJSON: when it is not JSON, nests too deeply, or holds text that is not Unicode.
    :raises InvalidValue: when a parameter has a wrong type or is out of range.
    :raises MissingParameter: when a required parameter is absent.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _fault(str(error), decoder.type) from None
    except msgspec.DecodeError as error:
        if fault := surrogate_fault(body):
            raise fault from None
        raise InvalidJSON(f"The body is not valid JSON: {str(error).removeprefix('JSON is malformed: ')}.") from None
    except UnicodeDecodeError:
        raise InvalidJSON("The body is not valid JSON: it holds a string that is not UTF-8.") from None
    except RecursionError:
        raise InvalidJSON("The body is not usable JSON: it nests too deeply.") from None


def check_nesting(value: object, param: str) -> None:
    """
    Check that a value of the client's own can be handled wherever it goes.

    :raises InvalidValue: it nests too deeply.
    """
    if nests_too_deeply(value):
        raise too_deep(param)


def too_deep(param: str) -> InvalidValue:
    """
    Return the error for a value of the client's own that nests too deeply.
    """
    return invalid(param, f"at most {_MOST_LEVELS} levels of objects and arrays")


def nests_too_deeply(value: object) -> bool:
    """
    Whether a value could not be handled wherever it goes.
    """
    level = [value]
    for _ in range(_MOST_LEVELS):
        level = [inner for each in level if isinstance(each, dict | list) for inner in _within(each)]
        if not level:
            return False
    return any(isinstance(each, dict | list) for each in level)


def _within(value: dict[str, object] | list[object]) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value


def missing(param: str) -> MissingParameter:
    """
    Return the error for a required parameter that is absent.
    """
    return MissingParameter(f"Missing required parameter: '{param}'.", param=param)


def not_taken(param: str, expected: str) -> NotTakenHere:
    """
    Return the same error as :func:`invalid` for a value that another backend may take.
    """
    return NotTakenHere(_told(f"'{param}'", expected), param=param)


def invalid(param: str, expected: str) -> InvalidValue:
    """
    Return the error for a parameter that is not what is expected, for example ``an integer greater than 0``.
    """
    return _invalid(f"'{param}'", expected, param)


def unsupported(param: str, why: str) -> UnsupportedParameter:
    """
    Return the error for a parameter that cannot be honoured, and why: ``answers are text``.
    """
    return UnsupportedParameter(f"Unsupported parameter '{param}': {why}.", param=param)


def _fault(text: str, schema: object) -> ClaudeProxyError:
    place = _PLACE.search(text)
    path = place["path"] if place else ""
    what = text[: place.start()] if place else text
    # Below a mapping the keys are the client's own; the parameter is the mapping.
    param, below, _ = path.partition("[...]")
    if field := _MISSING_FIELD.search(what):
        return missing(f"{param}.{field[1]}" if param else field[1])
    if not param:
        return InvalidValue(f"The body must be a JSON object{_got(what)}.")
    kind = _at(inspect.type_info(schema), path)
    if place and place["key"]:
        keys = next(member.key_type for member in _members(kind) if isinstance(member, inspect.DictType))
        return _invalid(f"a key of '{param}'", _describe(keys), param)
    where = f"an entry of '{param}'" if below else f"'{param}'"
    return _invalid(where, _describe(kind) + _got(what), param)


def _invalid(where: str, expected: str, param: str) -> InvalidValue:
    return InvalidValue(_told(where, expected), param=param)


def _told(where: str, expected: str) -> str:
    return f"Invalid value for {where}: expected {expected}."


def _got(what: str) -> str:
    """
    Say what came instead, as far as msgspec tells.
    """
    if kind := _GOT_TYPE.search(what):
        return f", got {_TYPE_NAMES.get(kind[1], kind[1])}"
    if what == "Number out of range":
        return ", got a number that is out of range"
    if value := _GOT_VALUE.search(what):
        return f", got '{value[1]}'" if len(value[1]) <= _LONGEST_TOLD else f", got '{value[1][:_LONGEST_TOLD]}...'"
    return ""


def _at(kind: inspect.Type, path: str) -> inspect.Type:
    """
    Return the type that the schema has at the path.
    """
    for step in _STEP.findall(path):
        inner = (_inside(member, step) for member in _members(kind))
        # Below what may be anything, everything is.
        kind = next((found for found in inner if found is not None), inspect.AnyType())
    return kind


def _inside(kind: inspect.Type, step: str) -> inspect.Type | None:
    if isinstance(kind, inspect.StructType):
        return next((field.type for field in kind.fields if field.encode_name == step), None)
    if isinstance(kind, inspect.ListType) and step.startswith("["):
        return kind.item_type
    if isinstance(kind, inspect.DictType) and step == "[...]":
        return kind.value_type
    return None


def _members(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    if isinstance(kind, inspect.UnionType):
        return tuple(member for member in kind.types if not isinstance(member, inspect.NoneType))
    return (kind,)


def _describe(kind: inspect.Type) -> str:
    """
    Say in English what the type allows. That null stands for an absent parameter goes without saying.
    """
    return " or ".join(_describe_one(member) for member in _members(kind))


def _describe_one(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(f"'{value}'" for value in kind.values)
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        name = "an integer" if isinstance(kind, inspect.IntType) else "a number"
        return f"{name} from {kind.ge} to {kind.le}" if kind.ge is not None and kind.le is not None else name
    if isinstance(kind, inspect.StrType):
        if kind.max_length is not None:
            least = f"{kind.min_length} to" if kind.min_length else "at most"
            return f"a string of {least} {kind.max_length} characters"
        return "a non-empty string" if kind.min_length else "a string"
    if isinstance(kind, inspect.ListType):
        return "an array" if kind.max_length is None else f"an array of at most {kind.max_length} items"
    if isinstance(kind, inspect.DictType):
        return "an object" if kind.max_length is None else f"an object of at most {kind.max_length} entries"
    if isinstance(kind, inspect.AnyType):
        return "a value that JSON readers can hold"
    return "true or false" if isinstance(kind, inspect.BoolType) else "an object"
