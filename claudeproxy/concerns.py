"""
What an operator may have forgotten: seen from the configuration and the machine alone, before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from claudeproxy.backends.claude.processes.environment import locate_cli
from claudeproxy.config import Config
from claudeproxy.core.catalog import Catalog
from claudeproxy.core.routing import OPENAI

__all__ = ["concerns"]


def concerns(config: Config, environ: Mapping[str, str]) -> Iterator[str]:
    """
    Return what is allowed and yet may be a mistake, each in one sentence.
    """
    yield from config.concerns
    catalog = Catalog(config.routing.model_map, config.routing.default_model)
    for target in catalog.unknown_targets():
        yield f"MODEL_MAP: {target!r} is no model of Claude's that is known here; Claude Code gets the name as it is."
    if not config.claude.has_credentials:
        yield (
            "Claude Code has no credentials: set ANTHROPIC_API_KEY, ANTHROPIC_AUTH_TOKEN, CLAUDE_CODE_OAUTH_TOKEN "
            "or CLAUDE_LOGIN."
        )
    if locate_cli(config.claude.path, environ.get("PATH")) is None:
        yield "Claude Code was not found: see CLAUDE_PATH, or install the extra claudeproxy[cli]."
    in_chains = {step.upstream for fallback in config.fallbacks for step in fallback.chain}
    if OPENAI in in_chains and not config.upstream.configured:
        yield "A fallback chain names the upstream openai, which has neither OPENAI_API_KEY nor OPENAI_BASE_URL."
