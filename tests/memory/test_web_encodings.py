"""
Bodies of requests that are compressed, or that begin with a byte order mark.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable

import pytest

from claudeproxy.config import ServerConfig
from claudeproxy.core.routing import BackendName, Fallback, Step
from tests.memory.doubles import JSON
from tests.memory.wire import House, Wire, chat_body

CHAT = "/v1/chat/completions"


def raw_deflate(body: bytes) -> bytes:
    """Deflate without zlib's frame, as some clients send it."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


PACKED = [
    ("gzip", gzip.compress),
    ("GZip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("identity", bytes),
    ("identity, gzip", gzip.compress),
]
packed = pytest.mark.parametrize(("coding", "pack"), PACKED)


def send(house: House, body: bytes, coding: str) -> Wire:
    """Send a chat."""
    wire = house.connect()
    wire.send("POST", CHAT, body, headers={"Content-Encoding": coding})
    return wire


@packed
def test_claude_code_reads_it(house: House, coding: str, pack: Callable[[bytes], bytes]) -> None:
    """A chat is served as if it had come plain."""
    wire = send(house, pack(chat_body("sonnet")), coding)
    house.backend.turn.start()
    house.backend.turn.say("Hello")
    house.backend.turn.end()

    assert 200 == wire.answer().status


@packed
def test_an_upstream_gets_it_as_it_came(house: House, coding: str, pack: Callable[[bytes], bytes]) -> None:
    """The bytes and the header are the client's, and the model's name was read all the same."""
    body = pack(chat_body("gpt-4o"))
    wire = send(house, body, coding)
    request = house.relay.exchange.request
    wire.leave()

    assert (body, "gpt-4o") == (house.relay.exchange.body, house.access["model"])
    assert [coding.encode()] == [value for name, value in request.headers if name.lower() == b"content-encoding"]


@packed
def test_another_models_name_is_put_into_it(coding: str, pack: Callable[[bytes], bytes]) -> None:
    """A chain that asks for another model sends it plain, without the header."""
    house = chained()
    body = pack(chat_body("gpt-5", user="é"))
    wire = send(house, body, coding)
    exchange = house.relay.exchange

    assert {**json.loads(chat_body("gpt-5", user="é")), "model": "other"} == json.loads(exchange.body)
    named = [value for name, value in exchange.request.headers if name.lower() == b"content-encoding"]
    assert named == ([b"identity"] if coding == "identity" else [])
    wire.leave()


def chained() -> House:
    """A daemon whose gpt-5 is the upstream's other."""
    step = Step(BackendName.UPSTREAM, "openai", "other")
    return House(fallbacks=(Fallback(("gpt-5",), (step, step)),))


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "deflate, gzip", "nonsense"])
@pytest.mark.parametrize("model", ["sonnet", "gpt-4o"])
def test_other_codings(house: House, coding: str, model: str) -> None:
    """Nobody could tell the model: 415 with those that are read."""
    answer = send(house, gzip.compress(chat_body(model)), coding).answer()

    assert (415, "unsupported_media_type") == (answer.status, answer.error["code"])
    assert "gzip, deflate, identity" == answer.headers["accept-encoding"]


@pytest.mark.parametrize(
    "body",
    [
        chat_body("sonnet"),
        gzip.compress(chat_body("sonnet"))[:-3],
        gzip.compress(chat_body("sonnet"))[:-9],
        gzip.compress(chat_body("sonnet")) + b"x",
        gzip.compress(chat_body("sonnet")) * 2,
        gzip.compress(chat_body("sonnet"))[:-8] + b"12345678",
        b"",
    ],
    ids=["plain", "no end", "no checksum", "trailing garbage", "twice", "wrong checksum", "empty"],
)
def test_broken_ones(house: House, body: bytes) -> None:
    """What is not what the header says is named."""
    answer = send(house, body, "gzip").answer()

    assert (400, "invalid_json") == (answer.status, answer.error["code"])
    assert "gzip" in answer.error["message"]


def test_a_bomb() -> None:
    """The cap is that of the decoded body, and no more than that is inflated; a large one is inflated in slices."""
    house = House(server=ServerConfig(max_body_bytes=3 * 1024 * 1024))
    large = json.dumps({"model": "gpt-4o", "messages": [], "user": "x" * 2_500_000}).encode()
    wire = send(house, gzip.compress(large), "gzip")
    assert [] == house.relay.exchanges
    house.clock.pump([0, 0, 0])
    assert 1 == len(house.relay.exchanges)
    wire.leave()

    bomb = send(house, gzip.compress(bytes(100_000_000)), "gzip")
    house.clock.pump([0] * 4)
    answer = bomb.answer()
    assert (413, "request_too_large") == (answer.status, answer.error["code"])


def test_other_paths(house: House) -> None:
    """What is not read here is relayed, however it is encoded."""
    wire = house.connect()
    wire.send("POST", "/v1/embeddings", b"\x00brotli", headers={"Content-Encoding": "br"})
    exchange = house.relay.exchange
    exchange.head(200, JSON)
    exchange.end()

    assert (b"\x00brotli", 200) == (exchange.body, wire.answer().status)


@pytest.mark.parametrize("model", ["sonnet", "gpt-4o"])
def test_a_byte_order_mark(house: House, model: str) -> None:
    """It is passed over; an upstream gets it, as all of the body."""
    body = b"\xef\xbb\xbf" + chat_body(model)
    wire = house.connect()
    wire.send("POST", CHAT, body)

    assert b"" == wire.sent
    if model == "gpt-4o":
        assert body == house.relay.exchange.body
    wire.leave()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_other_encodings_of_text(house: House, encoding: str) -> None:
    """JSON is UTF-8."""
    wire = house.connect()
    wire.send("POST", CHAT, chat_body("sonnet").decode().encode(encoding))

    answer = wire.answer()
    assert (400, "invalid_json") == (answer.status, answer.error["code"])
    assert "UTF-8" in answer.error["message"]
