"""
How hard a model is asked to think, and the models that cannot be asked.
"""

from __future__ import annotations

import re

from claudeproxy.core.chat import Effort, TurnSettings

__all__ = ["effort_level", "effort_without_effect"]

_CAN_REST = re.compile(r"claude-3|haiku|(opus|sonnet)-(4|5(?!-[5-9]))(?!\d)")
"""
In the ids of the models that can be kept from thinking (the API's guides to extended thinking and to migration). An
alias is the newest model of its family.
"""

_FIXED = re.compile(r"claude-(3|opus-4(?!-[5-9])|sonnet-4(?!-[6-9])|haiku-4)")
"""
In the ids of the models for which the CLI leaves the effort out of its requests (seen with 2.1.329, one by one). They
are the older ones: it asks every model that it does not know.
"""


def effort_level(model: str, settings: TurnSettings) -> str | None:
    """
    Return the effort to ask for; None for the model's own. Models that always think do it least with the lowest one;
    with others it would make more shorter than their thoughts.
    """
    if settings.effort is not Effort.NONE:
        return None if settings.effort is None else settings.effort.value
    return None if _CAN_REST.search(model) else Effort.LOW.value


def effort_without_effect(model: str, settings: TurnSettings) -> tuple[str, ...]:
    """
    Return the name of the parameter, where it is given and changes nothing; ``none`` keeps these models from thinking.
    """
    without = settings.effort not in (None, Effort.NONE) and _FIXED.search(model) is not None
    return ("reasoning_effort",) if without else ()
