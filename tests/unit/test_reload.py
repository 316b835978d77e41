"""
Reading the configuration again: as a whole or not at all, and what the log says of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.logger import LogLevel, globalLogPublisher

from claudeproxy.config import Config, ConfigError, load
from claudeproxy.ops.reload import Reload
from tests.guard import LoggedFailures


@define
class Reloading:
    """
    A daemon's environment, what it uses and what it logs.
    """

    environ: dict[str, str]
    used: list[Config] = field(factory=list)
    bad: str = ""
    mistake: bool = False
    unreadable: str = ""
    renewed: int = 0

    def start(self) -> Reload:
        return Reload(self.read, self.read(), self.used.append, self.renewal)

    def renewal(self) -> Callable[[], None]:
        if self.unreadable:
            raise ConfigError(self.unreadable)
        return self.renew

    def renew(self) -> None:
        self.renewed += 1

    def read(self) -> Config:
        if self.bad:
            raise ConfigError(self.bad)
        if self.mistake:
            raise RuntimeError("a mistake of ours")
        return load({}, self.environ)


def logged(reload: Reload) -> list[tuple[Any, str]]:
    """
    Return levels and texts of what a reload logs.
    """
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    try:
        reload()
    finally:
        globalLogPublisher.removeObserver(events.append)
    return [(event["log_level"], event["log_format"].format(**event)) for event in events]


def test_a_reload() -> None:
    """The new values are handed on once, all together, and the log tells them, and what has to wait, each time."""
    daemon = Reloading({"PORT": "1", "API_KEY": "hush1"})
    reload = daemon.start()
    daemon.environ = {"PORT": "2", "API_KEY": "hush2", "RATE_LIMIT_PER_IP": "7", "MAX_CONCURRENT_PER_KEY": "3"}
    left = (LogLevel.warn, "Only a restart brings what else has changed: PORT 1 -> 2.")

    assert [
        (
            LogLevel.info,
            "The configuration was reloaded: API_KEY 1 -> 1 (1 came, 1 went); RATE_LIMIT_PER_IP 60 -> 7; "
            "MAX_CONCURRENT_PER_KEY 5 -> 3.",
        ),
        left,
    ] == logged(reload)
    assert [(LogLevel.info, "The configuration was reloaded: nothing has changed."), left] == logged(reload)
    assert [(7, 3, 1), (7, 3, 1)] == [
        (config.limits.rate_limit_per_ip, config.limits.max_concurrent_per_key, config.server.port)
        for config in daemon.used
    ]


def test_a_bad_configuration() -> None:
    """Nothing of it is used, the log says why in one line, and a good one is taken as if it had not been there."""
    daemon = Reloading({})
    reload = daemon.start()
    daemon.bad = "LOG_LEVEL (somewhere): must be loud"

    assert [
        (
            LogLevel.error,
            "The configuration was not reloaded, and nothing has changed: LOG_LEVEL (somewhere): must be loud",
        )
    ] == logged(reload)
    assert [] == daemon.used

    daemon.bad, daemon.environ = "", {"LOG_LEVEL": "warn"}
    assert "The configuration was reloaded: LOG_LEVEL info -> warn." == logged(reload)[0][1]


def test_a_mistake_of_ours(logged_failures: LoggedFailures) -> None:
    """Whatever goes wrong while it is read, the log says that nothing has changed, and nothing has."""
    daemon = Reloading({})
    reload = daemon.start()
    daemon.mistake = True

    assert [(LogLevel.critical, "The configuration was not reloaded, and nothing has changed")] == logged(reload)
    assert [] == daemon.used
    assert 1 == len(logged_failures.flush(RuntimeError))

    daemon.mistake = False
    assert LogLevel.info is logged(reload)[0][0]


def test_concerns() -> None:
    """What may be meant otherwise in the new configuration is told, once."""
    daemon = Reloading({})
    reload = daemon.start()
    daemon.environ = {"PORT": "3456", "API_PORT": "1"}
    concern = (LogLevel.warn, "API_PORT has no effect: PORT is set by environment PORT.")

    assert concern == logged(reload)[1]
    assert 1 == len(logged(reload))


def test_what_cannot_be_renewed() -> None:
    """A certificate that cannot be used refuses the whole; otherwise it is put to use with the rest."""
    daemon = Reloading({})
    reload = daemon.start()
    daemon.environ, daemon.unreadable = {"LOG_LEVEL": "warn"}, "LISTEN: no certificate"

    assert "nothing has changed: LISTEN: no certificate" in logged(reload)[0][1]
    assert ([], 0) == (daemon.used, daemon.renewed)

    daemon.unreadable = ""
    logged(reload)
    assert (1, 1) == (len(daemon.used), daemon.renewed)
