"""
Which backend serves which request.
"""

from __future__ import annotations

import uuid
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.core.catalog import Catalog
from claudeproxy.core.routing import BackendName, ModelNames, Router, UpstreamRoute, parse_session_id
from claudeproxy.errors import InvalidHeaderValue, InvalidSessionID

CATALOG = Catalog({"mine": "haiku"}, "sonnet")
CLAUDE_MODELS = ["sonnet", "opus[1m]", "claude-opus-4.1", "claude-haiku-4-5-20251001"]
OTHER_MODELS = ["gpt-4o", "mine", "deepseek-chat", "default"]
YES = ["true", "1", "yes", "TRUE", "Yes", " true "]
NO = ["false", "0", "no", "False", "NO"]
SESSIONS = [None, "5d4ad3c4-8c0e-4f2a-9d6e-0a8f0a3b1c2d"]


def route(
    model: str, header: str | None = None, session: str | None = None, upstream: bool = True, claude_models: bool = True
) -> BackendName:
    """
    Choose, with the catalog of these tests.
    """
    openai = UpstreamRoute("openai", ModelNames(()), True, upstream)
    router = Router(CATALOG, claude_models, [openai])
    (step,) = router.steps(claude_code=header, session_id=session, model=model, own_key=False)
    return step.backend


CIRCUMSTANCES = list(product(CLAUDE_MODELS + OTHER_MODELS, SESSIONS, [False, True], [False, True]))


@pytest.mark.parametrize(("model", "session", "upstream", "claude_models"), CIRCUMSTANCES)
def test_the_header_decides_above_all(model: str, session: str | None, upstream: bool, claude_models: bool) -> None:
    """X-Claude-Code says yes or no, and neither session nor model nor configuration speaks against it."""
    assert {route(model, word, session, upstream, claude_models) for word in YES} == {BackendName.CLAUDE}
    assert {route(model, word, session, upstream, claude_models) for word in NO} == {BackendName.UPSTREAM}


@pytest.mark.parametrize(("model", "session", "upstream", "claude_models"), CIRCUMSTANCES)
def test_without_the_header_session_and_model_decide(
    model: str, session: str | None, upstream: bool, claude_models: bool
) -> None:
    """A session is Claude's; so is everything without an upstream; beside one, Claude's models are, if configured."""
    expected = (
        BackendName.CLAUDE
        if session is not None or not upstream or (claude_models and model in CLAUDE_MODELS)
        else BackendName.UPSTREAM
    )

    assert route(model, None, session, upstream, claude_models) is expected


@pytest.mark.parametrize("word", ["", "maybe", "2", "on", "true,false", "tru\u0435"])
def test_a_header_that_says_neither_is_refused(word: str) -> None:
    """Anything but the six words is an error that names them, and never a silent choice."""
    with pytest.raises(InvalidHeaderValue, match="true, 1, yes, false, 0, no") as caught:
        route("gpt-4o", word)

    assert (caught.value.status, caught.value.param) == (400, "X-Claude-Code")


def test_the_names_are_those_of_the_backend_mode_header() -> None:
    """X-Backend-Mode says these words."""
    assert [str(name) for name in BackendName] == ["claude-code", "openai-passthrough"]


@given(st.uuids(version=4))
def test_a_session_id_is_a_version_4_uuid_in_any_case(session_id: uuid.UUID) -> None:
    """The same session is found whether the client writes its id in upper or lower case."""
    assert parse_session_id(str(session_id)) == str(session_id)
    assert parse_session_id(str(session_id).upper()) == str(session_id)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "nonsense",
        "5d4ad3c48c0e4f2a9d6e0a8f0a3b1c2d",
        "{5d4ad3c4-8c0e-4f2a-9d6e-0a8f0a3b1c2d}",
        "5d4ad3c4-8c0e-1f2a-9d6e-0a8f0a3b1c2d",
        "5d4ad3c4-8c0e-4f2a-cd6e-0a8f0a3b1c2d",
        "5d4ad3c4-8c0e-4f2a-9d6e-0a8f0a3b1c2d\n",
        "../5d4ad3c4-8c0e-4f2a-9d6e-0a8f0a3b1c2d",
        "5d4ad3c4-8c0e-4f2a-9d6e-0a8f0a3b1c\u0662d",
    ],
)
def test_anything_else_is_no_session_id(value: str) -> None:
    """Other versions, other spellings and other characters are refused, so that an id is safe as a file's name."""
    with pytest.raises(InvalidSessionID, match="version 4 UUID"):
        parse_session_id(value)
