"""
Where the daemon listens: strings in Twisted's notation, as far as they can be understood without Twisted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from ipaddress import ip_address
from types import MappingProxyType

from attrs import frozen

from claudeproxy.config.kinds import Kind

__all__ = ["Endpoint", "Endpoints"]

_INTERFACE: Mapping[str, int] = MappingProxyType({"tcp": 1, "tcp6": 1, "ssl": 4, "tls": 3})
"""The types that have an interface, with its place among the arguments that have no name."""

_PART = re.compile(r"(?:[^:\\]|\\.)+")


@frozen
class Endpoint:
    """
    One place to listen at, such as ``tcp:3456:interface=127.0.0.1``.
    """

    text: str

    @classmethod
    def at(cls, host: str, port: int) -> Endpoint:
        """
        Return the endpoint of an address.
        """
        interface = host.replace(":", r"\:")
        return cls(f"tcp:{port}:interface={interface}")

    def __str__(self) -> str:
        return self.text

    @property
    def type(self) -> str:
        """
        ``tcp``, ``ssl``, ``unix``, ``systemd``, or what a plugin of Twisted's calls its own.
        """
        return self.text.partition(":")[0]

    @property
    def has_tls(self) -> bool:
        """
        Whether clients have to speak TLS.
        """
        return self.type in ("ssl", "tls")

    @property
    def is_local(self) -> bool:
        """
        Whether only this machine can reach it; not, when that is not known.
        """
        if self.type == "unix":
            return True
        place = _INTERFACE.get(self.type)
        if place is None:
            return False
        named, unnamed = [], []
        for argument in _PART.findall(self.text)[1:]:
            name, is_named, value = argument.partition("=")
            if not is_named:
                unnamed.append(argument)
            elif _plain(name) == "interface":
                named.append(value)
        bound = named or unnamed[place : place + 1]
        return bool(bound) and all(map(_is_loopback, bound))


def _is_loopback(interface: str) -> bool:
    host = _plain(interface)
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _plain(text: str) -> str:
    """
    Return a part without what makes it one: backslashes before what would end it.
    """
    return re.sub(r"\\(.)", r"\1", text)


@frozen
class Endpoints(Kind[tuple[Endpoint, ...]]):
    """
    Several endpoints: separated by white space, or an array in TOML.
    """

    allowed = (
        "endpoints of Twisted such as tcp:3456:interface=127.0.0.1, ssl:443:privateKey=key.pem:certKey=cert.pem, "
        "unix:/run/claudeproxy.sock or systemd:domain=INET:index=0, separated by spaces"
    )

    def parse(self, text: str) -> tuple[Endpoint, ...]:
        return self.from_toml(text.split()) or self._none()

    def from_toml(self, value: object) -> tuple[Endpoint, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError
        return tuple(dict.fromkeys(_endpoint(item) for item in value))

    def render(self, value: tuple[Endpoint, ...]) -> str:
        return " ".join(endpoint.text for endpoint in value)

    def render_toml(self, value: tuple[Endpoint, ...]) -> str:
        return json.dumps([endpoint.text for endpoint in value], ensure_ascii=False)

    def _none(self) -> tuple[Endpoint, ...]:
        raise ValueError


def _endpoint(text: str) -> Endpoint:
    """
    Read one of them; its arguments are known to Twisted alone.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_+.-]*(:([^:\\]|\\.)+)+", text) or not text.isprintable():
        raise ValueError
    return Endpoint(text)
