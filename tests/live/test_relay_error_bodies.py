"""
What the bodies of an upstream's errors show: all that they say, and no secret.
"""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest
import pytest_twisted

from claudeproxy.backends.openai.error_bodies import without_secrets
from claudeproxy.config import Secret
from claudeproxy.core.relay import Refusal
from claudeproxy.errors import BackendError
from claudeproxy.testing.openai import StubOpenAI
from claudeproxy.testing.playing import RawAnswer
from tests.live.relaying import Make, chat

CHAT = "/v1/chat/completions"
OWN = "a-key-of-no-known-form"
KEYS = (
    OWN,
    "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD",
    "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "AKIAIOSFODNN7EXAMPLE",
)


def error(key: str) -> bytes:
    """An error that quotes a key."""
    told = {"message": f"Incorrect API key provided: {key}. See /v1/keys, $HOME é.", "password": "must be longer"}
    return json.dumps({"error": told}, ensure_ascii=False, indent=1).encode()


def headers(body: bytes, **more: str) -> tuple[tuple[bytes, bytes], ...]:
    """Those of a JSON body."""
    given = {"Content-Type": "application/json", "Content-Length": str(len(body)), **more}
    return tuple((name.replace("_", "-").encode(), value.encode()) for name, value in given.items())


@pytest.mark.parametrize("status", [400, 403, 404, 418, 500, 501])
@pytest.mark.parametrize("key", KEYS)
@pytest_twisted.ensureDeferred
async def test_an_upstream_that_quotes_a_key(stub_openai: StubOpenAI, relay_to: Make, key: str, status: int) -> None:
    """The key is gone, and nothing else; the length is that of the new body. A success is not looked into."""
    body = error(key)
    answer = RawAnswer(status, headers(body), (body[:40], body[40:]))
    stub_openai.script(CHAT, answer, RawAnswer(200, headers(body), (body,)))
    live = relay_to(api_key=Secret(OWN))
    sink = await live.answer(chat())

    assert (sink.status, sink.body) == (status, error("[redacted]"))
    assert sink.header(b"content-length") == [b"%d" % len(sink.body)]
    assert (await live.answer(chat())).body == body


@pytest_twisted.ensureDeferred
async def test_one_that_another_backend_may_do_better_than(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """The body that is held back for a chain, and may be sent after all, shows no key either."""
    body = error(KEYS[1])
    stub_openai.script(CHAT, RawAnswer(503, headers(body), (body,)))
    held = await relay_to().send(chat(hands_over=True))

    assert isinstance(held, Refusal)
    assert held.body == error("[redacted]")


def deflated(body: bytes) -> bytes:
    """A body without zlib's frame."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", deflated)],
)
def test_a_compressed_body(coding: str, pack: Any) -> None:
    """It is looked into; without a secret it goes on as it came, else plain."""
    body = pack(error("nothing"))
    same = without_secrets(headers(body, Content_Encoding=coding), body, OWN)
    assert same == (headers(body, Content_Encoding=coding), body)

    body = pack(error(OWN))
    told, clean = without_secrets(headers(body, Content_Encoding=coding), body, OWN)
    assert clean == error("[redacted]")
    assert dict(told) == dict(headers(clean))


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br", "unheard-of"])
def test_a_body_that_cannot_be_looked_into(coding: str) -> None:
    """An error of our own takes its place; without a body there is nothing to look into."""
    with pytest.raises(BackendError):
        without_secrets(headers(b"12345", Content_Encoding=coding), b"12345", OWN)
    assert without_secrets(headers(b"", Content_Encoding=coding), b"", OWN)[1] == b""


def test_what_comes_behind() -> None:
    """A second member is looked into as the first; what is none is not passed on unseen."""
    body = gzip.compress(b"one") + gzip.compress(error(OWN))
    assert without_secrets(headers(body, Content_Encoding="gzip"), body, OWN)[1] == b"one" + error("[redacted]")
    for behind in (OWN.encode(), b"x"):
        with pytest.raises(BackendError):
            without_secrets(headers(b"", Content_Encoding="gzip"), gzip.compress(b"one") + behind, OWN)


def test_a_bomb() -> None:
    """What grows beyond the bound is not inflated."""
    body = gzip.compress(bytes(100_000_000))
    with pytest.raises(BackendError):
        without_secrets(headers(body, Content_Encoding="gzip"), body, OWN)


@pytest.mark.parametrize("body", [b"", b"\xff\xfe\x00\x85\xa0binary\r\n", b"<html>\xe9</html>", b"token: abc"])
def test_what_is_no_secret_stays(body: bytes) -> None:
    """To the byte, whatever its encoding."""
    assert without_secrets(headers(body), body, None) == (headers(body), body)
