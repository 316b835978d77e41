"""
Reading the configuration again while the daemon runs.

Everything is read and checked before anything changes, and nothing that is then told of its new values can refuse
them. So a reload happens as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from twisted.logger import Logger

from claudeproxy.config import Config, ConfigError, changes, renewed

__all__ = ["Reload"]


@define
class Reload:
    """
    Called to read the configuration again; says in the log what came of it.
    """

    _log = Logger()

    _read: Callable[[], Config]
    """Reads all sources, as at the start."""
    _running: Config
    _use: Callable[[Config], None]
    """Hands the sections to whoever lives by them."""
    _renewal: Callable[[], Callable[[], None]]
    """Reads again what the configuration only names, and returns what puts it to use; raises ``ConfigError``."""

    def __call__(self) -> None:
        try:
            fresh = self._read()
            config = renewed(self._running, fresh)
            renew = self._renewal()
        except ConfigError as error:
            self._log.error("The configuration was not reloaded, and nothing has changed: {reason}", reason=str(error))
            return
        except Exception:
            # A mistake of ours; who sent the signal must not take silence for success.
            self._log.failure("The configuration was not reloaded, and nothing has changed")
            return
        taken = [str(change) for change in changes(self._running, config)]
        left = [str(change) for change in changes(config, fresh)]
        concerns = [concern for concern in config.concerns if concern not in self._running.concerns]
        self._use(config)
        renew()
        self._running = config
        self._log.info("The configuration was reloaded: {changes}.", changes="; ".join(taken) or "nothing has changed")
        if left:
            self._log.warn("Only a restart brings what else has changed: {changes}.", changes="; ".join(left))
        for concern in concerns:
            self._log.warn("{concern}", concern=concern)
