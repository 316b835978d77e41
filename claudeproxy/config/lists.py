"""
Kinds of settings that hold several values.
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from typing import TypeVar

from attrs import frozen

from claudeproxy.config.kinds import MODEL_NAME, Key, Kind, Secret
from claudeproxy.core.addresses import Destination
from claudeproxy.core.proxies import UNIX, Network, Proxy

__all__ = ["MODEL_PATTERN", "Destinations", "Keys", "Listed", "ModelMap", "Names", "Origins", "Proxies"]

MODEL_PATTERN = MODEL_NAME.replace("[", "[*?", 1)

T = TypeVar("T")


class Listed(Kind[tuple[T, ...]]):
    """
    Several values: separated by commas, or an array in TOML.
    """

    @abstractmethod
    def item(self, text: str) -> T:
        """
        Read one of them.
        """

    def parse(self, text: str) -> tuple[T, ...]:
        # A file that holds a list has one item a line.
        items = [item.strip() for item in re.split("[,\n]", text)]
        return self._distinct(item for item in items if item) or self._none()

    def from_toml(self, value: object) -> tuple[T, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError
        return self._distinct(value)

    def render(self, value: tuple[T, ...]) -> str:
        return ",".join(str(item) for item in value)

    def render_toml(self, value: tuple[T, ...]) -> str:
        return json.dumps([str(item) for item in value], ensure_ascii=False)

    def _distinct(self, texts: Iterable[str]) -> tuple[T, ...]:
        return tuple(dict.fromkeys(self.item(text) for text in texts))

    def _none(self) -> tuple[T, ...]:
        raise ValueError


@frozen
class Keys(Listed[Secret]):
    """
    Several keys.
    """

    secret = True
    allowed = "keys of printable ASCII characters without spaces or commas, separated by commas"

    def item(self, text: str) -> Secret:
        if "," in text:
            raise ValueError
        return Key().parse(text)


@frozen
class Names(Listed[str]):
    """
    Names of environment variables.
    """

    allowed = "names of environment variables, separated by commas"

    def item(self, text: str) -> str:
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", text):
            raise ValueError
        return text


@frozen
class _Networks(Listed[Network | str]):
    """
    Networks of addresses, and words.
    """

    def render(self, value: tuple[Network | str, ...]) -> str:
        return ",".join(_written(each) for each in value)

    def render_toml(self, value: tuple[Network | str, ...]) -> str:
        return json.dumps([_written(each) for each in value])


@frozen
class Proxies(_Networks):
    """
    Addresses, networks of them, and the word for those who come through a unix socket.
    """

    allowed = "addresses, networks such as 10.0.0.0/8 or ::1, and the word unix, separated by commas"

    def item(self, text: str) -> Proxy:
        return text if text == UNIX else ip_network(text)


@frozen
class Destinations(_Networks):
    """
    Addresses, networks of them, and hosts by their names.
    """

    allowed = "addresses, networks such as 10.0.0.0/8, and names of hosts, separated by commas; no ports, no *"

    def item(self, text: str) -> Destination:
        # A name's last label has a letter in front, so that a mistyped address is none.
        if re.fullmatch(r"([a-z0-9_-]+\.)*[a-z][a-z0-9-]*", text.lower()):
            return text.lower()
        return ip_network(text)


@frozen
class Origins(Listed[str]):
    """
    Web origins, compared exactly with what a browser sends, which is always in lower case.
    """

    allowed = "origins such as https://app.example:8443, separated by commas; no path, no *"

    def item(self, text: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", text.lower()):
            raise ValueError
        return text.lower()


@frozen
class ModelMap(Kind[Mapping[str, str]]):
    """
    Which model a name stands for.
    """

    allowed = "pairs such as gpt-5*=opus, separated by commas"

    def parse(self, text: str) -> Mapping[str, str]:
        pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
        found = {name.strip(): model.strip() for name, _, model in pairs}
        if len(found) < max(len(pairs), 1):
            raise ValueError
        return self.from_toml(found)

    def from_toml(self, value: object) -> Mapping[str, str]:
        if not isinstance(value, dict):
            raise ValueError
        for name, model in value.items():
            if (
                not isinstance(model, str)
                or not re.fullmatch(MODEL_PATTERN, name)
                or not re.fullmatch(MODEL_NAME, model)
            ):
                raise ValueError
        return dict(value)

    def render(self, value: Mapping[str, str]) -> str:
        return ",".join(f"{name}={model}" for name, model in value.items())

    def render_toml(self, value: Mapping[str, str]) -> str:
        pairs = ", ".join(f"{json.dumps(name)} = {json.dumps(model)}" for name, model in value.items())
        return "{ " + pairs + " }" if pairs else "{}"


def _written(network: Network | str) -> str:
    """
    Write a network of one address as that address.
    """
    return str(network if isinstance(network, str) or network.num_addresses > 1 else network.network_address)
