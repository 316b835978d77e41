"""
What a turn asks for, as settings of a live CLI process.

``apply_flag_settings`` takes effect on the next turn's API request, and its environment variables reach into the
running CLI (seen with 2.1.329). All of them are named each time, so that a turn's settings end with the turn.
"""

from __future__ import annotations

import msgspec

from claudeproxy.core.chat import Effort, TurnSettings

__all__ = ["NEUTRAL", "turn_settings"]


def turn_settings(settings: TurnSettings) -> dict[str, object]:
    """
    Return the CLI's settings for one turn.
    """
    thinks = settings.effort is not Effort.NONE
    extra_body = {"stop_sequences": settings.stop} if settings.stop else {}
    return {
        "effortLevel": settings.effort.value if settings.effort is not None and thinks else None,
        "env": {
            "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(settings.max_tokens) if settings.max_tokens is not None else "",
            "CLAUDE_CODE_DISABLE_THINKING": "" if thinks else "1",
            "CLAUDE_CODE_EXTRA_BODY": msgspec.json.encode(extra_body).decode(),
        },
    }


NEUTRAL = turn_settings(TurnSettings())
"""How a process is started."""
