"""
JSON Schemas of all drafts, as the Messages API takes them.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudeproxy.errors import ClaudeProxyError, NotTakenHere
from claudeproxy.testing.schemas import schema_refusal
from claudeproxy.wire.anthropic import ToolSchema, tool_schema
from claudeproxy.wire.json_schema import SchemaFault, modernise
from claudeproxy.wire.openai_chat import decode_request

NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")


def modern(schema: dict[str, Any]) -> dict[str, Any]:
    """The same in draft 2020-12."""
    schema = copy.deepcopy(schema)
    modernise(schema)
    return schema


def fitted(schema: dict[str, Any]) -> ToolSchema:
    """The same as the API takes it."""
    return tool_schema(copy.deepcopy(schema))


def decoded(parameters: str | dict[str, Any], where: str = "tools") -> Any:
    """A request with this schema, as it is understood."""
    written = parameters if isinstance(parameters, str) else json.dumps(parameters)
    places = {
        "tools": '"tools": [{"type": "function", "function": {"name": "f", "parameters": %s}}]',
        "functions": '"functions": [{"name": "f", "parameters": %s}]',
        "format": '"response_format": {"type": "json_schema", "json_schema": {"name": "f", "schema": %s}}',
    }
    body = '{"model": "m", "messages": [{"role": "user", "content": "x"}], ' + places[where].replace("%s", written)
    return decode_request(f"{body}}}".encode())


# -- Drafts -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"maximum": 1.5, "exclusiveMaximum": True}, {"exclusiveMaximum": 1.5}),
        ({"minimum": 1, "exclusiveMinimum": False}, {"minimum": 1}),
        ({"exclusiveMinimum": True}, {}),
        ({"items": [{"type": "string"}, {}]}, {"prefixItems": [{"type": "string"}, {}]}),
        ({"items": [{}], "additionalItems": False}, {"prefixItems": [{}], "items": False}),
        ({"items": [], "additionalItems": {"type": "null"}}, {"items": {"type": "null"}}),
        ({"items": {}, "additionalItems": False}, {"items": {}}),
        (
            {"dependencies": {"a": ["b"], "c": "d", "e": {"required": ["f"]}}},
            {"dependentRequired": {"a": ["b"], "c": ["d"]}, "dependentSchemas": {"e": {"required": ["f"]}}},
        ),
        ({"type": "any"}, {}),
        ({"type": ["string", "string", "null"]}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": False}, {"type": "string"}),
        ({"id": "#here"}, {"$anchor": "here"}),
        ({"$id": "#here"}, {"$anchor": "here"}),
        ({"required": ["a", "a"]}, {"required": ["a"]}),
        ({"required": None, "description": None, "enum": None}, {}),
        ({"default": None, "const": None}, {"default": None, "const": None}),
        ({"required": True}, {}),
        (
            {"properties": {"a": {"required": True}, "b": {"required": False}}, "required": ["c"]},
            {"properties": {"a": {}, "b": {}}, "required": ["c", "a"]},
        ),
        ({"examples": {"a": 1}}, {"examples": [{"a": 1}]}),
        ({"divisibleBy": 2}, {"multipleOf": 2}),
        (
            {"definitions": {"a": {"items": [{}]}}, "$ref": "#/definitions/a/items/0"},
            {"definitions": {"a": {"prefixItems": [{}]}}, "$ref": "#/definitions/a/prefixItems/0"},
        ),
        # What is data is no schema, and a property may be called like a keyword.
        ({"default": {"items": [1]}, "enum": [{"items": []}]}, {"default": {"items": [1]}, "enum": [{"items": []}]}),
        ({"properties": {"items": {"type": "string"}}}, {"properties": {"items": {"type": "string"}}}),
        ({"x-own": {"items": [1]}}, {"x-own": {"items": [1]}}),
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        lambda schema: schema,
        lambda schema: {"properties": {"p": {"items": schema}}},
        lambda schema: {"$defs": {"p": {"anyOf": [{"not": schema}]}}},
        lambda schema: {"additionalProperties": {"patternProperties": {"^a": {"allOf": [schema]}}}},
    ],
)
def test_older_drafts_are_said_in_the_words_of_the_newest(old: Any, new: Any, place: Any) -> None:
    """Wherever they stand."""
    if "$ref" in old and place(old) is not old:
        pytest.skip("a reference leads from the top")
    assert modern(place(old)) == place(new)


def test_a_schema_of_the_newest_draft_stays_as_it_is() -> None:
    """Its draft's name and the order of its members too; where something was changed the name goes."""
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {"a": {}}}

    assert list(modern(schema).items()) == list(schema.items())
    assert "$schema" not in modern({**schema, "additionalItems": False})


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"type": "str"}, "type"),
        ({"type": []}, "type"),
        ({"type": ["string", {}]}, "type"),
        ({"minLength": "3"}, "minLength"),
        ({"minLength": -1}, "minLength"),
        ({"minItems": 1.5}, "minItems"),
        ({"multipleOf": 0}, "multipleOf"),
        ({"required": "a"}, "required"),
        ({"required": [1]}, "required"),
        ({"properties": []}, "properties"),
        ({"properties": {"a": "string"}}, "properties"),
        ({"enum": "a"}, "enum"),
        ({"anyOf": []}, "anyOf"),
        ({"anyOf": {}}, "anyOf"),
        ({"not": []}, "not"),
        ({"description": 5}, "description"),
        ({"pattern": 5}, "pattern"),
        ({"$ref": 5}, "$ref"),
        ({"$id": "a#b"}, "$id"),
        ({"dependencies": []}, "dependencies"),
        ({"dependencies": {"a": [1]}}, "dependentRequired"),
        ({"items": [1]}, "prefixItems"),
        ({"items": [{}], "prefixItems": [{}]}, "items"),
        ({"uniqueItems": "yes"}, "uniqueItems"),
    ],
)
@pytest.mark.parametrize("where", ["tools", "functions", "format"])
def test_what_is_no_schema_is_refused_at_once(schema: dict[str, Any], keyword: str, where: str) -> None:
    """The error names the parameter, the keyword, its place and what is allowed; another backend may take it."""
    param = {
        "tools": "tools[0].function.parameters",
        "functions": "functions[0].parameters",
        "format": "response_format.json_schema.schema",
    }[where]
    with pytest.raises(NotTakenHere, match=re.escape(f"'{keyword}' at '/properties/p' must be ")) as raised:
        decoded({"type": "object", "properties": {"p": schema}}, where)
    assert raised.value.param == param


odd = st.sampled_from(
    [None, True, False, 0, 1, -1, 2.5, "", "a", "#", "string", [], ["a"], ["a", "a"], [1], {}, {"a": 1}]
)
keywords = st.sampled_from(
    [
        "$anchor",
        "$id",
        "$ref",
        "additionalItems",
        "additionalProperties",
        "const",
        "contains",
        "default",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "deprecated",
        "description",
        "enum",
        "examples",
        "exclusiveMinimum",
        "format",
        "id",
        "if",
        "items",
        "maxLength",
        "maximum",
        "minItems",
        "minimum",
        "multipleOf",
        "not",
        "nullable",
        "pattern",
        "patternProperties",
        "prefixItems",
        "propertyNames",
        "required",
        "title",
        "type",
        "uniqueItems",
        "anyOf",
        "allOf",
        "oneOf",
        "$defs",
        "definitions",
        "properties",
        "x-own",
        "divisibleBy",
        "readOnly",
    ]
)
names = st.sampled_from(["a", "$filter", "page[size]", "Größe", "b" * 65, "", "properties"])
schemas = st.recursive(
    st.dictionaries(keywords, odd, max_size=3) | st.booleans(),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(names, inner, max_size=3),
            "required": st.lists(names, max_size=2),
            "items": inner | st.lists(inner, max_size=2),
            "additionalItems": inner,
            "anyOf": st.lists(inner, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "$defs": st.dictionaries(names, inner, max_size=2),
            "dependencies": st.dictionaries(names, inner | st.lists(names, max_size=2), max_size=2),
            "type": st.sampled_from(["object", "array", "string", ["object", "null"]]),
            "exclusiveMinimum": st.booleans() | st.integers(),
            "minimum": st.integers(),
        },
    ),
    max_leaves=10,
)


@settings(max_examples=400)
@given(schemas.filter(lambda schema: isinstance(schema, dict)))
def test_what_is_taken_the_api_takes_and_what_is_not_it_would_not(schema: dict[str, Any]) -> None:
    """Whatever comes out is a schema of draft 2020-12 with names that fit; a valid one is refused for no keyword."""
    valid = jsonschema.Draft202012Validator(jsonschema.Draft202012Validator.META_SCHEMA).is_valid(schema)
    try:
        made = fitted(schema)
    except SchemaFault as fault:
        unlike_2020 = {
            "patternProperties",
            "propertyNames",
            "dependencies",
            "items",
            "dependentRequired",
            "prefixItems",
        }
        assert (
            not valid
            or (fault.place == "" and fault.keyword in ("type", "anyOf", "allOf", "oneOf"))
            or (fault.keyword in unlike_2020)
        )
        return
    jsonschema.Draft202012Validator.check_schema(made.schema)
    assert schema_refusal(0, made.schema) is None


# -- Names --------------------------------------------------------------------


def told(schema: dict[str, Any], name: str) -> str:
    """What the API is told for a name."""
    (found,) = [told for told, known in fitted(schema).names.renamed.items() if known == name]
    return found


@pytest.mark.parametrize("name", ["$filter", "page[size]", "Größe", "价格", "a b", "", "x" * 65, "a/b~c", '"', "\n"])
def test_a_name_that_does_not_fit_is_another_one(name: str) -> None:
    """It is always the same, the model reads the client's own in the description, and what fits stays."""
    schema = {"type": "object", "properties": {name: {"type": "string", "description": "Of it."}, "fits.too-1": {}}}
    made = fitted(schema)
    (new,) = made.names.renamed

    assert NAME.fullmatch(new)
    assert made == fitted(schema)
    assert made.names.renamed == {new: name}
    assert made.schema["properties"][new]["description"] == f"(named {json.dumps(name, ensure_ascii=False)}) Of it."
    assert made.schema["properties"]["fits.too-1"] == {}


def test_a_name_is_the_same_wherever_it_stands() -> None:
    """In all keywords that name properties, at every depth, and in references."""
    inner = {"type": "object", "properties": {"$x": {}}, "required": ["$x"]}
    schema = {
        "type": "object",
        "properties": {
            "$x": {"type": "array", "items": inner},
            "y": {"anyOf": [inner, {"$ref": "#/properties/$x/items"}, {"$ref": "#/$defs/$x"}]},
        },
        "required": ["$x", "y"],
        "dependentRequired": {"$x": ["y"], "y": ["$x"]},
        "dependentSchemas": {"$x": {"required": ["$x"]}},
        "propertyNames": {"enum": ["$x", "y"]},
        "$defs": {"$x": inner},
        "default": {"$x": 1},
    }
    name = told(schema, "$x")
    described = {"description": '(named "$x")'}
    there = {"type": "object", "properties": {name: described}, "required": [name]}

    assert fitted(schema).schema == {
        "type": "object",
        "properties": {
            name: {"type": "array", "items": there, **described},
            "y": {"anyOf": [there, {"$ref": f"#/properties/{name}/items"}, {"$ref": "#/$defs/$x"}]},
        },
        "required": [name, "y"],
        "dependentRequired": {name: ["y"], "y": [name]},
        "dependentSchemas": {name: {"required": [name]}},
        "propertyNames": {"enum": [name, "y"]},
        "$defs": {"$x": there},
        "default": {"$x": 1},
    }


def test_names_differ_where_the_clients_do() -> None:
    """Also where nothing of them can be read, and where a client has the very name that another one would get."""
    first = told({"properties": {"$x": {}}}, "$x")
    made = fitted({"properties": {"$x": {}, "[x]": {}, "x!": {}, "度": {}, "量": {}, first: {}}})

    assert len(made.schema["properties"]) == 6
    assert first in made.schema["properties"]
    assert sorted(made.names.renamed.values()) == sorted(["$x", "[x]", "x!", "度", "量"])


@pytest.mark.parametrize(
    ("beside", "keyword"),
    [
        ({"patternProperties": {"^\\$": {}}}, "patternProperties"),
        ({"patternProperties": {"(": {}}}, "patternProperties"),
        ({"propertyNames": {"pattern": "^."}}, "propertyNames"),
    ],
)
def test_what_is_said_of_names_cannot_be_said_of_other_names(beside: dict[str, Any], keyword: str) -> None:
    """The client learns it, and what it can leave out; where no name is another one, it may stay."""
    with pytest.raises(NotTakenHere, match=f"'{keyword}' must be left out"):
        decoded({"properties": {"$x": {}}, **beside})
    assert decoded({"properties": {"x": {}}, **beside}).tools[0].schema[keyword] == beside[keyword]


# -- The top ------------------------------------------------------------------


@pytest.mark.parametrize("top", [{}, {"type": None}, {"type": ["object", "null"]}, {"nullable": True}])
def test_arguments_are_an_object(top: dict[str, Any]) -> None:
    """Whether a schema says so or not."""
    assert fitted({"properties": {"a": {}}, **top}).schema == {"type": "object", "properties": {"a": {}}}


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf", "allOf"])
def test_a_choice_at_the_top_goes_below_a_property(keyword: str) -> None:
    """All of its meaning stays; definitions and references find each other."""
    choice = [{"$ref": "#/$defs/a"}, {"properties": {"again": {"$ref": "#"}, "$x": {}}}]
    made = fitted({keyword: choice, "$defs": {"a": {"items": {"$ref": "#/" + keyword + "/1/properties/$x"}}}})
    wrapper = made.names.wrapper
    (new,) = made.names.renamed

    assert wrapper.startswith("arguments_")
    assert made.schema == {
        "type": "object",
        "properties": {
            wrapper: {
                "type": "object",
                keyword: [
                    {"$ref": "#/$defs/a"},
                    {
                        "properties": {
                            "again": {"$ref": f"#/properties/{wrapper}"},
                            new: {"description": '(named "$x")'},
                        }
                    },
                ],
            }
        },
        "required": [wrapper],
        "additionalProperties": False,
        "$defs": {"a": {"items": {"$ref": f"#/properties/{wrapper}/{keyword}/1/properties/{new}"}}},
    }


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"type": "array"}, ""),
        ({"type": ["string", "null"]}, ""),
        ({"anyOf": [{"type": "string"}, {"type": "array"}]}, "anyOf"),
        ({"allOf": [{"type": "object"}, {"type": "string"}]}, "allOf"),
    ],
)
def test_what_describes_no_object_is_refused(schema: dict[str, Any], keyword: str) -> None:
    """Nothing could be called with it."""
    with pytest.raises(ClaudeProxyError, match=f"{keyword}.*type 'object'") as raised:
        decoded(schema)
    assert raised.value.param == "tools[0].function.parameters"


def test_a_choice_at_the_top_of_an_answers_schema_stays() -> None:
    """The API may take it there."""
    schema = {"type": "object", "anyOf": [{"required": ["a"]}], "properties": {"$a": {"items": [{}]}}}

    assert decoded(schema, "format").settings.format.schema == {
        **schema,
        "properties": {"$a": {"prefixItems": [{}]}},
    }


def test_there_are_not_too_many_schemas() -> None:
    """Nobody waits long for one request to be read; what anybody offers is far below."""
    most = {"properties": {str(number): {} for number in range(19_999)}}
    assert len(decoded(most).tools[0].schema["properties"]) == 19_999
    with pytest.raises(NotTakenHere, match="at most 20000 schemas"):
        decoded({"properties": {**most["properties"], "one more": {}}})

    three = json.dumps([{"function": {"name": f"f{number}", "parameters": most}} for number in range(3)])
    body = '{"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": ' + three + "}"
    with pytest.raises(NotTakenHere, match="at most 50000 schemas") as raised:
        decode_request(body.encode())
    assert raised.value.param == "tools[2].function.parameters"


# -- Meaning ------------------------------------------------------------------

leaves = st.sampled_from([True, {}, {"type": "string"}, {"type": "integer", "minimum": 1}, {"enum": ["a", 1]}])
property_names = st.sampled_from(["a", "$x", "b c"])
described = st.recursive(
    leaves,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", ["object", "integer"]]),
            "properties": st.dictionaries(property_names, inner, max_size=3),
            "required": st.lists(property_names, max_size=2, unique=True),
            "additionalProperties": inner | st.just(False),
            "dependentRequired": st.dictionaries(property_names, st.lists(property_names, max_size=1), max_size=1),
            "dependentSchemas": st.dictionaries(property_names, inner, max_size=1),
            "propertyNames": st.just({"enum": ["a", "$x"]}),
            "minProperties": st.integers(0, 2),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
        },
    ),
    max_leaves=6,
).filter(lambda schema: isinstance(schema, dict))
instances = st.recursive(
    st.sampled_from(["a", 0, 1, None]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(property_names, inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=400)
@given(described, st.lists(st.dictionaries(property_names, instances, max_size=3), min_size=1, max_size=6))
def test_the_meaning_stays(schema: dict[str, Any], arguments: list[dict[str, Any]]) -> None:
    """What the client's schema allows, the API's allows by the names that it is told, and nothing else."""
    try:
        made = fitted(schema)
    except SchemaFault:
        # It describes no object.
        return
    before = jsonschema.Draft202012Validator(schema)
    after = jsonschema.Draft202012Validator(made.schema)
    for each in arguments:
        written = made.names.told(json.dumps(each)) if made.names else json.dumps(each)
        assert before.is_valid(each) == after.is_valid(json.loads(written))
        assert json.loads(made.names.known(written)) == each


tuples = st.fixed_dictionaries(
    {},
    optional={
        "items": st.lists(leaves.filter(lambda leaf: leaf is not True), max_size=2),
        "additionalItems": st.booleans(),
        "minimum": st.integers(0, 2),
        "exclusiveMinimum": st.booleans(),
        "maximum": st.integers(0, 2),
        "exclusiveMaximum": st.booleans(),
        "dependencies": st.dictionaries(
            property_names, st.lists(property_names, min_size=1, max_size=1) | st.just({"minProperties": 2}), max_size=2
        ),
    },
).filter(
    lambda schema: all(bound in schema or f"exclusive{bound.title()}" not in schema for bound in ("minimum", "maximum"))
)


@settings(max_examples=300)
@given(tuples, st.lists(instances, min_size=1, max_size=6))
def test_the_meaning_of_an_older_draft_stays(schema: dict[str, Any], values: list[Any]) -> None:
    """By the words of draft 4 and those of the newest."""
    before = jsonschema.Draft4Validator(schema)
    after = jsonschema.Draft202012Validator(modern(schema))

    assert [before.is_valid(each) for each in values] == [after.is_valid(each) for each in values]
