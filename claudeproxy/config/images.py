"""
The settings of pictures, which the table of settings has among its sections.
"""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from claudeproxy.config.kinds import Boolean, Milliseconds
from claudeproxy.config.lists import Destinations
from claudeproxy.config.setting import setting
from claudeproxy.core.addresses import Destination

__all__ = ["ImagesConfig"]


@frozen
class ImagesConfig:
    """
    How pictures are fetched that requests for Claude Code have links to.
    """

    title: ClassVar[str] = "Linked pictures"

    fetch: bool = setting(
        "IMAGE_FETCH", Boolean(), True, "Whether pictures that a request for Claude Code links to are fetched."
    )
    allowed: tuple[Destination, ...] = setting(
        "IMAGE_FETCH_ALLOW",
        Destinations(),
        (),
        "Networks and hosts to fetch from although they are not public, at any port.",
    )
    timeout: float = setting("IMAGE_FETCH_TIMEOUT_MS", Milliseconds(1), 10.0, "How long fetching one picture may take.")
