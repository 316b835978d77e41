"""
Bodies that find no room on the disk.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.logger import globalLogPublisher

from claudeproxy.config import ServerConfig
from tests.helpers import full_disk
from tests.memory.wire import KEY, House, Wire

MEGABYTE = 1024 * 1024
HEAD = f"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n".encode()


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """
    What is said to the operator.
    """
    texts: list[str] = []

    def observe(event: dict[str, object]) -> None:
        texts.append(str(event.get("log_format", "")).format(**event))

    globalLogPublisher.addObserver(observe)
    yield texts
    globalLogPublisher.removeObserver(observe)


@pytest.fixture
def house() -> Iterator[House]:
    """
    The web side with room for large bodies; nothing is in flight in the end.
    """
    house = House(server=ServerConfig(max_body_bytes=10 * MEGABYTE))
    yield house
    for channel in tuple(house.site.channels):
        channel.connectionLost()
    assert (0, {}) == (house.drain.in_flight, house.admission.running)


def upload(wire: Wire, size: int, chunked: bool) -> None:
    """Send a body of so many bytes in the pieces in which a socket gives them."""
    wire.send_raw(HEAD + (b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size) + b"\r\n\r\n")
    body = b"x" * size
    data = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body) if chunked else body
    for at in range(0, len(data), 65536):
        wire.send_raw(data[at : at + 65536])


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("room", [0, MEGABYTE, 3 * MEGABYTE - 1], ids=["none", "some", "all but a byte"])
def test_a_body_without_room(house: House, logged: list[str], chunked: bool, room: int) -> None:
    """A body that the disk cannot take is answered with 500 and told to the operator; later ones are taken again."""
    wire = house.connect()
    with full_disk(room):
        upload(wire, 3 * MEGABYTE, chunked)
    answer = wire.answer()

    assert (500, "internal_error", "close") == (answer.status, answer.error["code"], answer.headers["connection"])
    assert "tmp" not in answer.error["message"]
    assert [] == house.relay.exchanges
    assert ["The body of a request cannot be stored: File too large"] == [text for text in logged if "stored" in text]
    wire.leave()
    assert (500, "internal_error") == (house.access["status"], house.access["error"])

    again = house.connect()
    upload(again, 3 * MEGABYTE, chunked)
    assert b"x" * 3 * MEGABYTE == house.relay.exchange.body
    again.leave()


def test_no_directory_for_a_body(
    house: House, logged: list[str], tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a directory for temporary files it is the same, and small bodies need none."""
    monkeypatch.setattr("tempfile.tempdir", f"{tmp_path}/gone")
    wire = house.connect()
    upload(wire, 3 * MEGABYTE, False)

    assert 500 == wire.answer().status
    assert ["The body of a request cannot be stored: No such file or directory"] == [
        text for text in logged if "stored" in text
    ]
    small = house.connect()
    upload(small, 1000, False)
    assert 1 == len(house.relay.exchanges)
    small.leave()
