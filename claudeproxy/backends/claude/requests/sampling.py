"""
How far a turn's sampling parameters are honoured.

The API takes none of them while the model thinks, at most one of temperature and top_p, and with some models none at
all; many clients send one with every request and do not mean it. So the operator decides.
"""

from __future__ import annotations

from attrs import evolve

from claudeproxy.core.chat import TurnSettings

__all__ = ["sampled", "sampling_of"]


def sampled(settings: TurnSettings, *, honour: bool) -> tuple[TurnSettings, tuple[str, ...]]:
    """
    Return a turn's settings with what can be honoured, and the names of the parameters that have no effect.

    What asks for the default, or for more than the API's highest temperature, which is its default, is left out.
    """
    warmth, share = settings.temperature, settings.top_p
    if not honour:
        return evolve(settings, temperature=None, top_p=None), sampling_of(settings)
    warmth = warmth if warmth is not None and warmth < 1 else None
    share = share if share is not None and share < 1 else None
    if warmth is not None and share is not None:
        return evolve(settings, temperature=warmth, top_p=None), ("top_p",)
    return evolve(settings, temperature=warmth, top_p=share), ()


def sampling_of(settings: TurnSettings) -> tuple[str, ...]:
    """
    Return the names of the sampling parameters that are given.
    """
    given = {"temperature": settings.temperature, "top_p": settings.top_p}
    return tuple(name for name in given if given[name] is not None)
