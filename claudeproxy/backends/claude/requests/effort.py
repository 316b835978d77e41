"""
How hard a model is asked to think, and the models that cannot be asked.
"""

from __future__ import annotations

import re

from claudeproxy.core.chat import Effort, TurnSettings

__all__ = ["effort_level", "effort_without_effect"]

_FIXED = re.compile(r"claude-(3|opus-4(?!-[5-9])|sonnet-4(?!-[6-9])|haiku-4)")
"""
In the ids of the models for which the CLI leaves the effort out of its requests (seen with 2.1.329, one by one). They
are the older ones: it asks every model that it does not know.
"""


def effort_level(settings: TurnSettings) -> str | None:
    """
    Return the effort to ask for; None for the model's own. Models that always think do it least with the lowest one.
    """
    if settings.effort is None:
        return None
    return (Effort.LOW if settings.effort is Effort.NONE else settings.effort).value


def effort_without_effect(model: str, settings: TurnSettings) -> tuple[str, ...]:
    """
    Return the name of the parameter, where it is given and changes nothing; ``none`` keeps these models from thinking.
    """
    without = settings.effort not in (None, Effort.NONE) and _FIXED.search(model) is not None
    return ("reasoning_effort",) if without else ()
