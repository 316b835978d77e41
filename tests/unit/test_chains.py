"""
Who serves a model when there are several upstreams, and who stands by.
"""

from __future__ import annotations

import pytest

from claudeproxy.core.catalog import Catalog
from claudeproxy.core.routing import BackendName, Fallback, ModelNames, Router, Step, UpstreamRoute

CATALOG = Catalog({}, "sonnet")
CLAUDE = Step(BackendName.CLAUDE)
SESSION = "5d4ad3c4-8c0e-4f2a-9d6e-0a8f0a3b1c2d"


def at(upstream: str, model: str | None = None) -> Step:
    """
    A step at an upstream.
    """
    return Step(BackendName.UPSTREAM, upstream, model)


CHAIN = (at("openai"), at("deepseek", "deepseek-chat"), Step(BackendName.CLAUDE, model="sonnet"))


def router(configured: bool = True, enabled: bool = True) -> Router:
    """
    Two tables and two chains.
    """
    return Router(
        CATALOG,
        True,
        [
            UpstreamRoute("deepseek", ModelNames(("deepseek-*", "r1", "sonnet[1m]")), True, True),
            UpstreamRoute("local", ModelNames(("llama?", "deepseek-*", "claude-local")), True, True),
            UpstreamRoute("openai", ModelNames(()), enabled, configured and enabled),
        ],
        [Fallback(ModelNames(("gpt-4o*", "opus")), CHAIN), Fallback(ModelNames(("gpt-*",)), (CLAUDE, at("local")))],
    )


def ask(
    model: str,
    header: str | None = None,
    session: str | None = None,
    own_key: bool = False,
    configured: bool = True,
    enabled: bool = True,
) -> tuple[Step, ...]:
    """
    Whom a request is for.
    """
    return router(configured, enabled).steps(claude_code=header, session_id=session, model=model, own_key=own_key)


@pytest.mark.parametrize(
    ("model", "steps"),
    [
        ("deepseek-chat", (at("deepseek"),)),
        ("r1", (at("deepseek"),)),
        ("r12", (at("openai"),)),
        ("sonnet[1m]", (at("deepseek"),)),
        ("llama3", (at("local"),)),
        ("llama33", (at("openai"),)),
        ("claude-local", (at("local"),)),
        ("sonnet", (CLAUDE,)),
        ("o3\nr1", (at("openai"),)),
        ("gpt-4o-mini", CHAIN),
        ("opus", CHAIN),
        ("gpt-5", (CLAUDE, at("local"))),
    ],
)
def test_the_name_decides(model: str, steps: tuple[Step, ...]) -> None:
    """The first chain that names the model, then the first table that does, then everything as without tables."""
    assert steps == ask(model)


def test_a_header_is_final() -> None:
    """What a header says is asked alone: nobody stands by who the client did not choose."""
    assert (CLAUDE,) == ask("gpt-4o", "true") == ask("gpt-4o", None, SESSION) == ask("deepseek-chat", "yes", SESSION)
    assert ((at("openai"),), (at("deepseek"),)) == (ask("gpt-4o", "false"), ask("r1", "false", SESSION))


def test_a_key_of_the_client() -> None:
    """A client's own key is only for openai: no table and no chain gets the request, unless openai takes none."""
    for configured in (True, False):
        assert (at("openai"),) == ask("gpt-4o", own_key=True, configured=configured)
        assert (at("openai"),) == ask("deepseek-chat", own_key=True, configured=configured)
        assert (at("openai"),) == ask("deepseek-chat", "false", own_key=True, configured=configured)
    assert (CLAUDE,) == ask("opus", own_key=True)
    assert (at("deepseek"),) == ask("r1", own_key=True, enabled=False)


def test_without_openai() -> None:
    """Without openai what no table names goes to Claude Code, and what must not go there, to the first upstream."""
    assert (CLAUDE,) == ask("mistral", configured=False)
    assert (at("deepseek"),) == ask("mistral", "false", configured=False)
    assert ("openai", "deepseek", "openai") == (
        router().default_upstream(False),
        router(configured=False).default_upstream(False),
        router(configured=False).default_upstream(True),
    )
    alone = Router(CATALOG, True, [UpstreamRoute("openai", ModelNames(()), True, False)])
    assert ("openai", False, True) == (alone.default_upstream(False), alone.can_relay(False), alone.can_relay(True))


def test_a_step_is_written_as_it_is_read() -> None:
    """The log names a step as its chain does."""
    assert ["openai", "deepseek/deepseek-chat", "claude-code/sonnet"] == [str(step) for step in CHAIN]
