"""
Arguments of calls whose names differ between the model's API and the client.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.core.arguments import ArgumentNames

RENAMED = {"filter_1a": "$filter", "p_2b": "Größe", "page_3c": "page[size]", "quote_4d": 'a"\\b'}
NAMES = ArgumentNames(RENAMED)
WRAPPED = ArgumentNames(RENAMED, "arguments_5e")


def in_pieces(names: ArgumentNames, text: str, cuts: list[int]) -> str:
    """What a client gets of arguments that come in these pieces."""
    reader = names.reader()
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    said = [reader.feed(text[start:end]) for start, end in pairwise(places)]
    return "".join([*said, reader.rest()])


def renamed(value: Any, names: dict[str, str]) -> Any:
    """A value with other keys."""
    if isinstance(value, dict):
        return {names.get(key, key): renamed(each, names) for key, each in value.items()}
    return [renamed(each, names) for each in value] if isinstance(value, list) else value


keys = st.sampled_from([*RENAMED, "filter", "", "a"]) | st.text(max_size=5).filter(
    lambda key: key not in RENAMED.values()
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | keys,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(keys, values, max_size=4)
spacing = st.sampled_from([None, 2])


@given(objects, spacing, st.booleans(), st.lists(st.integers(0, 10_000), max_size=8))
def test_keys_are_the_clients_however_the_text_is_cut(value: Any, indent: Any, ascii: bool, cuts: list[int]) -> None:
    """Keys change, strings that say the same do not, and all else arrives to the byte."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii)
    got = in_pieces(NAMES, text, cuts)

    assert got == NAMES.known(text)
    assert json.loads(got) == renamed(value, RENAMED)
    assert renamed(json.loads(NAMES.told(got)), RENAMED) == json.loads(got)


@given(objects, spacing, st.lists(st.integers(0, 10_000), max_size=8))
def test_what_is_below_the_wrapper_comes_alone(value: Any, indent: Any, cuts: list[int]) -> None:
    """The object that the wrapper holds is all that a client gets, whatever is in it."""
    text = json.dumps({"arguments_5e": value}, indent=indent)

    assert json.loads(in_pieces(WRAPPED, text, cuts)) == renamed(value, RENAMED)
    assert json.loads(WRAPPED.told(json.dumps(value)))["arguments_5e"] == renamed(
        value, {name: told for told, name in RENAMED.items()}
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"filter_1a": 1}', '{"$filter": 1}'),
        ('{"\\u0066ilter_1a": 1}', '{"$filter": 1}'),
        ('{"a": "filter_1a"}', '{"a": "filter_1a"}'),
        ('{"a": ["filter_1a", {"filter_1a": "filter_1a"}]}', '{"a": ["filter_1a", {"$filter": "filter_1a"}]}'),
        ('{"a": "\\"filter_1a\\": {", "filter_1a": 2}', '{"a": "\\"filter_1a\\": {", "$filter": 2}'),
        ('{"quote_4d": 1}', '{"a\\"\\\\b": 1}'),
        ('{"p_2b" : 1.50e1}', '{"Größe" : 1.50e1}'),
        ('{"filter_1a": {"b": 1', '{"$filter": {"b": 1'),
        ('{"filter_', '{"filter_'),
        ('{"a": 1, "x\\', '{"a": 1, "x\\'),
        ("", ""),
        ("not json", "not json"),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_what_becomes_of_a_text(text: str, expected: str, step: int) -> None:
    """Half a text stays half a text, with all of its characters."""
    assert in_pieces(NAMES, text, list(range(0, len(text), step))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"arguments_5e": {"filter_1a": 1}}', '{"$filter": 1}'),
        (' { "arguments_5e" : {"a": {}} } ', '{"a": {}}'),
        ('{"arguments_5e": {"a": 1}, "b": 2}', '{"a": 1}'),
        ('{"arguments_5e": {"a": [1, {"arguments_5e": 2}', '{"a": [1, {"arguments_5e": 2}'),
        ('{"arguments_5e": {}, "b', "{}"),
        # The wrapper holds something else.
        ('{"arguments_5e": "a word"}', '{"arguments_5e": "a word"}'),
        ('{ "arguments_5e" : 5, "a": {}}', '{ "arguments_5e" : 5, "a": {}}'),
        ('{"arguments_5e": [{"filter_1a": 1}]}', '{"arguments_5e": [{"$filter": 1}]}'),
        ('{"arguments_5e":', '{"arguments_5e":'),
        ('{"arguments_5e', '{"arguments_5e'),
        # The model has left the wrapper out.
        ('{"a": 1, "arguments_5e": 2}', '{"a": 1, "arguments_5e": 2}'),
        ('{"filter_1a": 1}', '{"$filter": 1}'),
        ("{}", "{}"),
        ("[1]", "[1]"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_what_becomes_of_a_wrapped_text(text: str, expected: str, step: int) -> None:
    """Without the wrapper the text is taken as it is."""
    assert in_pieces(WRAPPED, text, list(range(0, len(text), step))) == expected
