"""
What a link of a client's makes the daemon connect to: on a reactor of memory, with names of the test's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from claudeproxy.backends.images.fetcher import ImageFetcher
from claudeproxy.config import ImagesConfig
from claudeproxy.core.addresses import is_public
from claudeproxy.core.chat import Image, ImageLink
from claudeproxy.errors import InvalidImageURL
from tests.guard import LoggedFailures
from tests.memory.names import Names


class Network:
    """
    A fetcher on a reactor that only remembers what it was to connect to.
    """

    def __init__(self, *allowed: Any, **names: str) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.names = self.reactor.nameResolver = Names()
        for name, addresses in names.items():
            self.names.set(f"{name}.example", addresses.split())
        config = ImagesConfig(allowed=tuple(ip_network(each) if each[0].isdigit() else each for each in allowed))
        self.fetcher = ImageFetcher(self.reactor, config)

    def fetch(self, url: str, tenant: str = "t") -> Deferred[Image]:
        """Fetch a picture, as far as that comes without a network."""
        return self.fetcher.fetch(ImageLink(url, "here"), tenant)

    @property
    def connected(self) -> list[tuple[str, int]]:
        """What it connects to."""
        return [(host, port) for host, port, *_ in self.reactor.tcpClients]

    def refused(self, url: str) -> str:
        """The words with which a picture is refused, before anything is connected to."""
        told: list[Any] = []
        self.fetch(url).addErrback(told.append)
        (failure,) = told
        assert isinstance(failure.value, InvalidImageURL)
        assert failure.value.param == "here"
        assert self.connected == []
        return failure.value.message


def end(*fetches: Deferred[Image]) -> None:
    """Let go of pictures that will not come."""
    for fetch in fetches:
        fetch.cancel()
        fetch.addErrback(lambda _: None)


NO_ADDRESS = (
    "The picture cannot be fetched: its host has no address to fetch from; these are public addresses, at the ports 80 "
    "and 443."
)


@pytest.fixture
def network() -> Iterator[Network]:
    """A network with a public host, a private one, and one that is both."""
    network = Network(
        public="93.184.215.14",
        private="10.0.0.7",
        both="127.0.0.1 2606:4700::1111 ::1 93.184.215.14",
        six="2606:4700::1111",
        shared="100.64.3.2",
        mapped="::ffff:127.0.0.1",
        metadata="169.254.169.254",
    )
    yield network
    assert network.reactor.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("url", "connected"),
    [
        ("http://public.example/a.png", ("93.184.215.14", 80)),
        ("http://public.example:80/a.png", ("93.184.215.14", 80)),
        ("https://public.example/a.png", ("93.184.215.14", 443)),
        ("http://public.example:443/a.png", ("93.184.215.14", 443)),
        ("https://six.example/a.png", ("2606:4700::1111", 443)),
        ("HTTPS://PUBLIC.example/a.png", ("93.184.215.14", 443)),
    ],
)
def test_a_public_host(network: Network, url: str, connected: tuple[str, int]) -> None:
    """The address that was looked at is the one that is connected to; the name is looked up once."""
    fetch = network.fetch(url)

    assert network.connected == [connected]
    assert len(network.names.asked) == 1
    end(fetch)


@pytest.mark.parametrize(
    "url",
    [
        "http://private.example/",
        "https://private.example/",
        "http://shared.example/",
        "http://mapped.example/",
        "http://metadata.example/latest/meta-data/",
        "http://unknown.example/",
        "http://public.example:22/",
        "http://public.example:8080/",
    ],
)
def test_what_must_not_be_reached(network: Network, url: str) -> None:
    """Nothing is connected to, and the client cannot tell a private address from a name that there is not."""
    assert network.refused(url) == NO_ADDRESS


def test_a_host_with_addresses_of_both_kinds(network: Network) -> None:
    """Only the public ones of its addresses are tried."""
    fetch = network.fetch("http://both.example/")
    network.reactor.advance(1)

    assert network.connected == [("2606:4700::1111", 80), ("93.184.215.14", 80)]
    end(fetch)


def test_a_name_that_changes_its_mind(network: Network) -> None:
    """A name whose next answer is a private address (DNS rebinding) leads to the first, or nowhere."""
    network.names.set("rebinding.example", ["93.184.215.14"], ["127.0.0.1"])
    first = network.fetch("http://rebinding.example/")
    assert network.connected == [("93.184.215.14", 80)]

    told: list[Any] = []
    network.fetch("http://rebinding.example/").addErrback(told.append)
    assert told[0].value.message == NO_ADDRESS
    assert network.connected == [("93.184.215.14", 80)]
    end(first)


@pytest.mark.parametrize("address", ["10.0.0.7", "93.184.215.14"])
def test_a_host_that_refuses(address: str) -> None:
    """Of a host that may be reached, public or allowed, the client learns that it did not answer."""
    network = Network("10.0.0.0/8", host=address)
    told: list[Any] = []
    network.fetch("http://host.example/").addErrback(told.append)
    ((_, _, factory, *_),) = network.reactor.tcpClients
    factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))
    network.reactor.advance(1)

    assert told[0].value.message == "The picture cannot be fetched: no connection to its host could be made."


addresses = (
    st.integers(0, 2**32 - 1).map(IPv4Address)
    | st.integers(0, 2**128 - 1).map(IPv6Address)
    | st.integers(0, 2**32 - 1).map(lambda low: IPv6Address((0xFFFF << 32) + low))
    | st.integers(0, 2**32 - 1).map(lambda low: IPv6Address(int(IPv6Address("64:ff9b::")) + low))
    | st.sampled_from(
        ["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "224.0.0.0/4"]
    )
    .map(ip_network)
    .flatmap(lambda net: st.integers(0, net.num_addresses - 1).map(lambda low: net[low]))
)


@given(st.lists(addresses, max_size=4), st.sampled_from([80, 443, 8080]))
def test_no_name_leads_to_where_links_must_not(found: list[IPv4Address | IPv6Address], port: int) -> None:
    """Whatever addresses a name has, those that are connected to are public, and were all in its answer."""
    network = Network(host=" ".join(map(str, found)))
    fetch = network.fetch(f"http://host.example:{port}/")
    network.reactor.pump([0.5] * 6)

    expected = [(str(each), port) for each in found if port != 8080 and is_public(each)]
    assert network.connected == expected
    end(fetch)


def test_what_the_operator_allows_is_reached() -> None:
    """Networks and hosts of ``IMAGE_FETCH_ALLOW``, at any port."""
    network = Network("10.0.0.0/24", "pics.example", near="10.0.0.7", far="10.0.1.7", pics="192.168.1.1")
    fetches = [network.fetch(f"http://{host}.example:8000/") for host in ("near", "far", "pics")]

    assert network.connected == [("10.0.0.7", 8000), ("192.168.1.1", 8000)]
    end(*fetches)


def test_a_few_names_are_looked_up_at_once(network: Network) -> None:
    """Names that nobody answers for do not take all the threads in which names are looked up; the others wait."""
    network.names.hold = True
    fetches = [network.fetch(f"http://slow{number}.example/") for number in range(4)]
    waiting = network.fetch("http://public.example/")
    assert network.names.asked == [f"slow{number}.example" for number in range(4)]

    network.names.release()
    assert network.names.asked[4:] == ["public.example"]
    end(*fetches, waiting)


def test_nobody_takes_all_places(network: Network) -> None:
    """Names of one key's that nobody answers for leave the other keys some places, and these take not all threads."""
    network.names.hold = True
    fetches = [network.fetch(f"http://{tenant}{number}.example/", tenant) for tenant in "abc" for number in range(5)]
    assert network.names.asked == ["a0.example", "a1.example", "a2.example", "a3.example", "b0.example", "b1.example"]

    end(*fetches)
    for _ in range(6):
        network.names.release()
    waiting = network.fetch("http://public.example/", "c")
    assert network.names.asked[6:] == ["public.example"]
    network.names.release()
    assert network.connected == [("93.184.215.14", 80)]
    end(waiting)


def test_a_name_that_nobody_waits_for_is_not_looked_up(network: Network) -> None:
    """
    Clients that leave while their names wait take them along: the next client's turn comes first. What is being looked
    up already keeps its place until it is answered.
    """
    network.names.hold = True
    fetches = [network.fetch(f"http://slow{number}.example/") for number in range(100)]
    end(*fetches)
    waiting = network.fetch("http://public.example/")
    assert network.names.asked == [f"slow{number}.example" for number in range(4)]

    network.names.release()
    assert network.names.asked[4:] == ["public.example"]
    for _ in range(4):
        network.names.release()
    assert network.connected == [("93.184.215.14", 80)]
    end(waiting)


def test_a_resolver_that_fails(network: Network, logged_failures: LoggedFailures) -> None:
    """However often it does, the client hears of a name without an address, and the others have their turns."""
    network.names.error = RuntimeError("no thread")
    for _ in range(9):
        assert network.refused("http://public.example/") == NO_ADDRESS
    assert len(logged_failures.flush(RuntimeError)) == 9

    network.names.error = None
    end(network.fetch("http://public.example/"))
    assert network.connected == [("93.184.215.14", 80)]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http:///a.png", "its URL is not valid"),
        ("http:a.png", "its URL is not valid"),
        ("http://public.example:99999/", "its URL is not valid"),
        ("http://public.example:x/", "its URL is not valid"),
        ("http://public example/", "its URL is not valid"),
        ("http://[::1/", "its URL is not valid"),
        ("http://[fe80::1%25eth0]/", "its URL is not valid"),
        ("http://%70ublic.example/", "its URL is not valid"),
        ("http://user@public.example/", "has a user name in it"),
        ("http://user:word@public.example/", "has a user name in it"),
        ("http://public.example@private.example/", "has a user name in it"),
        ("http://public.example/" + "a" * 8192, "longer than 8192 characters"),
    ],
    ids=lambda value: value[:40],
)
def test_what_is_no_url_of_a_picture(network: Network, url: str, told: str) -> None:
    """Broken URLs and those with a password in them are refused before any name is looked up."""
    assert told in network.refused(url)
    assert network.names.asked == []


def test_a_client_that_leaves(network: Network) -> None:
    """What was begun for it ends at once."""
    fetch = network.fetch("http://public.example/")
    end(fetch)

    assert network.reactor.getDelayedCalls() == []
    assert network.reactor.connectors[0].stoppedConnecting
