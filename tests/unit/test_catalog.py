"""
What the models' names mean.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.core.catalog import Catalog
from claudeproxy.errors import ModelNotFound

PLAIN = Catalog({}, "sonnet")


@pytest.mark.parametrize(
    "name",
    [
        "sonnet",
        "opus",
        "haiku",
        "sonnet[1m]",
        "claude-opus-4-1-20250805",
        "claude-opus-4-20250514",
        "claude-sonnet-4-20250514",
        "claude-3-7-sonnet-20250219",
        "claude-3-5-haiku-20241022",
        "claude-sonnet-4-5@20250929",
        "claude-something-new-9",
    ],
)
def test_claudes_own_names_reach_the_cli_as_they_are(name: str) -> None:
    """Aliases and full ids, known or of tomorrow, are not rewritten."""
    assert PLAIN.is_claude(name)
    assert PLAIN.resolve(name) == name


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("claude-sonnet-4", "sonnet"),
        ("claude-opus-4", "opus"),
        ("claude-opus-4.1", "claude-opus-4-1"),
        ("claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("claude-sonnet-3.7", "sonnet"),
        ("claude-haiku-3.5", "haiku"),
    ],
)
def test_friendly_names_mean_a_model_that_the_cli_knows(name: str, means: str) -> None:
    """Names that people write and no API has are put into the CLI's terms."""
    assert PLAIN.is_claude(name)
    assert PLAIN.resolve(name) == means


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("gpt-4o", "sonnet"),
        ("gpt-4o-2024-08-06", "sonnet"),
        ("gpt-4", "sonnet"),
        ("gpt-4-0613", "sonnet"),
        ("gpt-4-1106-preview", "sonnet"),
        ("gpt-4-turbo", "sonnet"),
        ("gpt-4-turbo-2024-04-09", "sonnet"),
        ("gpt-4.1", "sonnet"),
        ("gpt-4.1-2025-04-14", "sonnet"),
        ("chatgpt-4o-latest", "sonnet"),
        ("gpt-4o-mini", "haiku"),
        ("gpt-4o-mini-2024-07-18", "haiku"),
        ("gpt-3.5-turbo", "haiku"),
        ("gpt-3.5-turbo-16k", "haiku"),
        ("gpt-4.1-mini", "haiku"),
        ("gpt-4.1-mini-2025-04-14", "haiku"),
        ("gpt-4.1-nano", "haiku"),
        ("gpt-4.1-nano-2025-04-14", "haiku"),
    ],
)
def test_openai_names_stand_for_a_claude_model(name: str, means: str) -> None:
    """A client that only knows OpenAI's models is served, by a model of about that size."""
    assert not PLAIN.is_claude(name)
    assert PLAIN.resolve(name) == means


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Sonnet",
        "sonnet ",
        "gpt-4oo",
        "gpt-4o-audio-preview",
        "claude-",
        "claude--model",
        "claude-x\n",
        "claude-x\0",
        "claude-" + "x" * 200,
        "--model",
        "claude-a b",
    ],
)
def test_other_names_are_unknown(name: str) -> None:
    """What nobody knows is refused here, and so is every name that could be more than a name to the CLI."""
    assert not PLAIN.is_claude(name)
    with pytest.raises(ModelNotFound) as caught:
        PLAIN.resolve(name)

    assert (caught.value.status, caught.value.code, caught.value.param) == (404, "model_not_found", "model")


def test_the_nearest_names_are_told() -> None:
    """Who mistypes a name learns the right one; who asks for nothing like it learns the shortest names."""
    with pytest.raises(ModelNotFound, match=r"'gpt-4oo' does not exist.*gpt-4o"):
        PLAIN.resolve("gpt-4oo")
    with pytest.raises(ModelNotFound, match="sonnet, opus, haiku"):
        PLAIN.resolve("@@@@")


def test_a_huge_name_is_not_repeated_to_the_client() -> None:
    """The answer stays short, and so does the search for what is near."""
    with pytest.raises(ModelNotFound) as caught:
        PLAIN.resolve("g" * 1_000_000)

    assert len(caught.value.message) < 300


def test_the_operators_map_goes_first() -> None:
    """The map adds names and changes the meaning of known ones, Claude's included."""
    catalog = Catalog({"gpt-4o": "opus", "gpt-5*": "claude-opus-4.1", "haiku": "sonnet", "local": "llama-70b"}, "haiku")

    assert catalog.resolve("gpt-4o") == "opus"
    assert catalog.resolve("gpt-5-mini") == "claude-opus-4-1"
    assert catalog.resolve("haiku") == "sonnet"
    assert catalog.resolve("local") == "llama-70b"
    assert catalog.resolve("gpt-4o-mini") == "haiku"


def test_mapped_names_are_not_claudes_own() -> None:
    """With an upstream configured, a mapped name still goes there: only Claude's own names are taken away from it."""
    catalog = Catalog({"gpt-5*": "opus", "mine": "haiku"}, "sonnet")

    assert not catalog.is_claude("gpt-5")
    assert not catalog.is_claude("mine")


def test_whole_names_win_over_wildcards_and_those_in_their_order() -> None:
    """The operator can except one name from a wildcard, wherever it stands in the map."""
    catalog = Catalog({"gpt-5*": "opus", "gpt-*": "sonnet", "gpt-5-nano": "haiku", "my[1m]": "opus[1m]"}, "sonnet")

    assert catalog.resolve("gpt-5-nano") == "haiku"
    assert catalog.resolve("gpt-5-pro") == "opus"
    assert catalog.resolve("gpt-9") == "sonnet"
    assert catalog.resolve("my[1m]") == "opus[1m]"


def test_default_is_what_the_operator_says() -> None:
    """The name "default", asked for or mapped to, means the configured model, in the CLI's terms."""
    catalog = Catalog({"*": "default"}, "claude-opus-4.1")

    assert Catalog({}, "haiku").resolve("default") == "haiku"
    assert catalog.resolve("anything at all") == "claude-opus-4-1"


def test_the_list_of_names() -> None:
    """The list begins with Claude's names, holds the operator's and OpenAI's, each once, and every one can be used."""
    catalog = Catalog({"gpt-5*": "opus", "mine": "haiku", "gpt-4o": "opus"}, "sonnet")
    names = catalog.names()

    assert names[:3] == ("sonnet", "opus", "haiku")
    assert {"claude-sonnet-4", "claude-opus-4.1", "mine", "gpt-4o", "gpt-3.5-turbo"} <= set(names)
    assert "gpt-5*" not in names
    assert len(set(names)) == len(names)
    assert all(catalog.resolve(name) for name in names)


@given(st.text(max_size=20))
def test_every_name_is_either_known_or_refused(name: str) -> None:
    """No name, however odd, breaks the look-up, and what is Claude's own is known."""
    try:
        known = bool(PLAIN.resolve(name))
    except ModelNotFound:
        known = False

    assert known or not PLAIN.is_claude(name)
