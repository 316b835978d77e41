"""
Clients that let the server wait: with a head, with a body, with reading.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from claudeproxy.config import ServerConfig
from tests.memory.wire import KEY, House, Wire, chat_body

HEAD = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n".encode()
PROGRESS = 16 * 1024


@pytest.fixture
def house() -> Iterator[House]:
    """
    The web side with room for large bodies, and with deadlines that differ.
    """
    house = House(
        server=ServerConfig(max_body_bytes=10_000_000, client_header_timeout=20.0, client_body_timeout=30.0),
    )
    yield house
    for channel in tuple(house.site.channels):
        channel.connectionLost()
    assert [] == house.clock.getDelayedCalls()
    assert 0 == house.drain.in_flight
    assert {} == house.admission.running


def refused(wire: Wire, words: str) -> None:
    """The client was answered 408, for this reason, and its connection ends."""
    answer = wire.answer()
    assert (408, "request_timeout", "invalid_request_error") == (
        answer.status,
        answer.error["code"],
        answer.error["type"],
    )
    assert words in answer.error["message"]
    assert ("close", True) == (answer.headers["connection"], wire.closing)


@pytest.mark.parametrize("begun", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n"])
def test_a_head_that_does_not_end(house: House, begun: bytes) -> None:
    """From its first byte on a head has its time, however regularly a byte more comes."""
    wire = house.connect()
    house.clock.advance(60)
    wire.send_raw(begun)
    for _ in range(19):
        house.clock.advance(1)
        wire.send_raw(b"x" if b"\r\n" not in begun else b"X: y\r\n")
    assert b"" == wire.sent
    house.clock.advance(1)

    refused(wire, "20 s")
    house.clock.advance(10)
    assert wire.transport.aborted


def test_a_head_on_a_used_connection(house: House) -> None:
    """The time of a second head begins with its own first byte, and not with the request before."""
    wire = house.connect()
    wire.send("GET", "/health/live")
    assert 200 == wire.answer().status
    house.clock.advance(50)
    wire.send_raw(b"GET /health/live")
    house.clock.advance(19)
    assert b"" == wire.sent
    wire.send_raw(b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert 200 == wire.answer().status
    house.clock.advance(74)
    assert not wire.closing


@pytest.mark.parametrize(
    "first", [b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", HEAD + b"Content-Length: 2\r\n\r\n{}"]
)
def test_a_head_that_comes_with_the_request_before(house: House, first: bytes) -> None:
    """The beginning of a head that came in one piece with a whole request has a head's time, and is answered 408."""
    wire = house.connect()
    wire.send_raw(first + b"GET /hea")
    assert wire.answer().status in (200, 400)
    house.clock.advance(19)
    assert not wire.closing
    house.clock.advance(2)

    refused(wire, "20 s")


def test_a_head_that_waits_for_an_answer(house: House) -> None:
    """The beginning of a next request that came while one is answered is not held against the client."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body())
    wire.send_raw(b"GET /health/live")
    house.clock.advance(100)
    house.backend.turn.start()
    house.backend.turn.end()
    assert 200 == wire.answer().status
    house.clock.advance(19)
    assert not wire.closing
    house.clock.advance(2)

    refused(wire, "20 s")


@pytest.mark.parametrize("framing", [b"Content-Length: 5000000\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_body_that_trickles(house: House, framing: bytes) -> None:
    """A body that comes on by less than 16 KiB in its time is given up, and nothing is asked of a backend."""
    wire = house.connect()
    wire.send_raw(HEAD + framing + b"\r\n")
    for _ in range(29):
        house.clock.advance(1)
        wire.send_raw(b"1\r\nx\r\n" if b"chunked" in framing else b"x")
    assert b"" == wire.sent
    house.clock.advance(1)

    refused(wire, "16 KiB within 30 s")
    assert [] == house.backend.turns
    wire.leave()
    assert ("request_timeout", 408) == (house.access["error"], house.access["status"])


def test_a_body_that_stops(house: House) -> None:
    """What came quickly at first buys no time for later."""
    wire = house.connect()
    wire.send_raw(HEAD + b"Content-Length: 5000000\r\n\r\n" + b"x" * 4_000_000)
    house.clock.advance(31)
    assert b"" == wire.sent
    house.clock.advance(30)

    refused(wire, "16 KiB")


def test_a_slow_line(house: House) -> None:
    """A body that comes on steadily may take as long as it needs, and what is left at last may be little."""
    wire, body = house.connect(), chat_body() + b" " * 20 * PROGRESS
    wire.send_raw(HEAD + b"Content-Length: %d\r\n\r\n" % len(body))
    while body:
        house.clock.advance(29)
        assert b"" == wire.sent
        wire.send_raw(body[:PROGRESS])
        body = body[PROGRESS:]

    assert 1 == len(house.backend.turns)
    house.clock.advance(100)
    assert not wire.closing
    wire.leave()


def test_an_answer_that_nobody_takes(house: House) -> None:
    """A connection that is to be closed is cut off when its client does not read what is left of the answer."""
    wire = house.connect()
    wire.send("GET", "/health/live", headers={"Connection": "close"})
    assert wire.closing
    house.clock.advance(74)
    assert not wire.transport.aborted
    house.clock.advance(2)
    assert wire.transport.aborted


def test_a_refusal_that_nobody_hears(house: House) -> None:
    """A client of TLS that is refused and does not say goodbye is cut off as well."""
    wire = house.connect(secure=True)
    wire.send_raw(b"nonsense\r\n\r\n")
    assert 400 == wire.answer().status
    house.clock.advance(9)
    assert not wire.transport.aborted
    house.clock.advance(2)
    assert wire.transport.aborted


def test_a_half_closed_connection(house: House) -> None:
    """
    What is complete when a client closes its side is its to read, for as long as any last answer; what is not by then,
    or half a second later, ends.
    """
    done, waiting, half = house.connect(), house.connect(), house.connect()
    done.send("GET", "/health/live")
    waiting.send("POST", "/v1/chat/completions", chat_body())
    waiting.send("GET", "/health/live")
    half.send_raw(HEAD)
    for wire in (done, waiting, half):
        wire.channel.readConnectionLost()
        wire.channel.readConnectionLost()  # said again whenever it is read from
    assert [True, False, True] == [done.closing, waiting.closing, half.closing]
    house.clock.advance(0.4)
    assert not waiting.transport.aborted
    house.clock.advance(0.2)

    assert [False, True, False] == [done.transport.aborted, waiting.transport.aborted, half.transport.aborted]
    house.clock.advance(74)
    assert not done.transport.aborted
    assert (200, b"") == (done.answer().status, half.sent)
    for wire in (done, waiting, half):
        wire.close()
    assert [200, 499, 499] == [event["access"]["status"] for event in house.events]


def test_an_answer_after_a_half_close(house: House) -> None:
    """An answer that comes within that time is whole, and so is that of the request behind it; then they are read."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body())
    wire.send("GET", "/health/live")
    wire.channel.readConnectionLost()
    house.clock.advance(0.4)
    house.backend.turn.start()
    house.backend.turn.end()
    house.clock.advance(60)

    assert (True, False) == (wire.closing, wire.transport.aborted)
    assert [200, 200] == [wire.answer().status, wire.answer().status]
    house.clock.advance(20)
    assert wire.transport.aborted


def test_a_refused_client_that_half_closes(house: House) -> None:
    """It has its ten seconds to read why."""
    wire = house.connect()
    wire.send_raw(b"nonsense\r\n\r\n")
    wire.channel.readConnectionLost()
    house.clock.advance(9)

    assert (400, True, False) == (wire.answer().status, wire.closing, wire.transport.aborted)
    house.clock.advance(2)
    assert wire.transport.aborted
