"""
Whatever bytes a client sends, it gets an answer in one of the forms that are promised.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claudeproxy.config import LimitsConfig, ServerConfig
from tests.memory.wire import KEY, Answer, House, Wire, chat_body

CASES = int(os.environ.get("FUZZ_CASES", "100"))

LARGE = ServerConfig(max_body_bytes=20_000)

fuzzed = settings(
    max_examples=CASES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)

# -- What is sent -------------------------------------------------------------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
"""Any JSON, and what only Python takes for JSON: NaN, Infinity, lone surrogates."""

odd = st.sampled_from(
    [None, True, 0, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 1e308, "", "none", "auto", "\ud800", "\0", [], {}]
)

messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"]) | anything},
        optional={
            "content": st.text(max_size=20)
            | st.lists(
                st.fixed_dictionaries(
                    {"type": st.sampled_from(["text", "refusal", "image_url", "file", "input_audio"]) | anything},
                    optional={"text": st.text(max_size=9) | anything, "refusal": st.text(max_size=9) | anything},
                ),
                max_size=3,
            )
            | anything,
            "tool_calls": anything,
            "function_call": anything,
            "refusal": anything,
        },
    ),
    max_size=4,
)

PARAMETERS = (
    *("stream", "stream_options", "max_completion_tokens", "max_tokens", "stop", "reasoning_effort", "n", "tools"),
    *("tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format", "modalities", "audio"),
    *("temperature", "top_p", "frequency_penalty", "seed", "logit_bias", "logprobs", "top_logprobs", "metadata"),
    *("service_tier", "verbosity", "prediction", "store", "user", "x" * 65, "X-Odd\r\nName: 1", "é"),
)

chats = st.fixed_dictionaries(
    {"model": st.sampled_from(["sonnet", "gpt-4o", "opus"]) | odd, "messages": messages | anything},
    optional={name: odd | anything for name in PARAMETERS},
)


@st.composite
def damaged(draw: st.DrawFn, wholes: st.SearchStrategy[bytes]) -> bytes:
    """Bytes, some of which are cut out or replaced by others."""
    whole = draw(wholes)
    start = draw(st.integers(0, len(whole)))
    end = draw(st.integers(start, min(len(whole), start + 9)))
    return whole[:start] + draw(st.binary(max_size=6)) + whole[end:]


def encoded(value: Any) -> bytes:
    """A value as JSON, with what has no UTF-8 as escapes."""
    return json.dumps(value).encode()


bodies = st.one_of(
    chats.map(encoded),
    damaged(chats.map(encoded)),
    damaged(st.just(chat_body(stop=["a"], metadata={"a": "b"}))),
    anything.map(encoded),
    st.binary(max_size=60),
    st.integers(1, 300).map(lambda depth: b"[" * depth),
)

values = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40),
    st.sampled_from(["true", "no", "TRUE ", "7c9e6679-7425-40de-944b-e07fc1f90ae7", "gzip", "chunked", "*/*", ","]),
)
names = st.sampled_from(
    [
        *("X-Claude-Code", "X-Claude-Session-ID", "X-Session-ID", "X-OpenAI-API-Key", "X-Request-ID", "X-Api-Key"),
        *("Authorization", "Content-Type", "Accept", "Origin", "Host", "Cookie", "Expect", "Upgrade", "Connection"),
        *("Content-Encoding", "Idempotency-Key", "Access-Control-Request-Method", "Sec-Fetch-Site", "Range", "TE"),
    ]
) | st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}", fullmatch=True).filter(
    lambda name: name.lower() not in ("content-length", "transfer-encoding")
)
headers = st.dictionaries(names, values, max_size=5)

methods = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"])
segments = st.sampled_from(
    [
        *(
            "v1",
            "chat",
            "completions",
            "models",
            "sonnet",
            "health",
            "live",
            "docs",
            "openapi.json",
            "files",
            "..",
            ".",
        ),
        *("%2e%2e", "%2F", "%00", "%ff", "%", "", "*", ";", "?", "?a=/..", "#", "<b>", "{model}", "\\", "http:"),
    ]
) | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=8)
paths = st.lists(segments, max_size=5).map(lambda parts: "/" + "/".join(parts))

keys = st.sampled_from([KEY, KEY, KEY, "wrong", None])

HEAD = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n".encode()
raw_requests = st.one_of(
    st.binary(max_size=200),
    damaged(chats.map(encoded).map(lambda body: HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))),
    damaged(
        chats.map(encoded).map(
            lambda body: HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        )
    ),
    damaged(st.just(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: a\r\n\r\n" * 2)),
)


# -- What must come back ------------------------------------------------------


UNLIMITED = LimitsConfig(rate_limit_per_ip=0, rate_limit_per_session=0, max_concurrent_per_key=0)


class Fuzzed(House):
    """
    The web side, asked again and again.
    """

    def settle(self) -> None:
        """Let both backends serve what has come through to them."""
        for turn in self.backend.turns:
            turn.start()
            turn.say("Hello")
            turn.end()
        for exchange in self.relay.exchanges:
            exchange.head()
            exchange.send(b"{}")
            exchange.end()
        self.backend.turns.clear()
        self.relay.exchanges.clear()

    def end(self, wire: Wire) -> None:
        """The client leaves; nothing of it stays."""
        wire.leave()
        self.events.clear()
        for turn in (*self.backend.turns, *self.relay.exchanges):
            assert turn.cancelled
        self.backend.turns.clear()
        self.relay.exchanges.clear()
        assert not self.site.channels and 0 == self.drain.in_flight
        assert [] == self.clock.getDelayedCalls()


def judge(answer: Answer, seen: Counter[int], head: bool = False) -> None:
    """Check that an answer is one that is promised."""
    seen[answer.status] += 1
    assert answer.complete and answer.headers["x-request-id"]
    assert "x-content-type-options" in answer.headers and "server" not in answer.headers
    assert answer.status < 500
    if head:
        return
    if answer.status >= 400:
        error = answer.json["error"]
        assert "application/json" == answer.headers["content-type"]
        assert {"message", "type", "param", "code"} == set(error) and error["message"]
        assert isinstance(error["param"], str | None)
    elif b"<" == answer.body[:1]:
        assert (
            answer.body.startswith(b"<!doctype html>")
            and "style-src 'sha256-" in answer.headers["content-security-policy"]
        )


def tell(seen: Counter[int]) -> None:
    """Print what came back, which ``make fuzz`` shows; requests that were not looked at prove nothing."""
    assert 429 not in seen
    print(f"\n{sum(seen.values())} answers to {CASES} cases: {dict(sorted(seen.items()))}")


def test_any_body() -> None:
    """A chat request with any body is served, or refused with 4xx in the form of all errors."""
    house, seen = Fuzzed(server=LARGE, limits=UNLIMITED), Counter[int]()

    @fuzzed
    @given(bodies)
    def fuzz(body: bytes) -> None:
        wire = house.connect()
        wire.send("POST", "/v1/chat/completions", body)
        house.settle()
        judge(wire.answer(), seen)
        house.end(wire)

    fuzz()
    tell(seen)


def test_any_headers() -> None:
    """Any method, path and headers are served, or refused with 4xx in the form of all errors."""
    house, seen = Fuzzed(server=LARGE, limits=UNLIMITED), Counter[int]()

    @fuzzed
    @given(methods, paths | st.just("/v1/chat/completions"), headers, st.none() | bodies, keys)
    def fuzz(method: str, path: str, headers: dict[str, str], body: bytes | None, key: str | None) -> None:
        wire = house.connect()
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        lines += [] if key is None else [f"Authorization: Bearer {key}"]
        lines += [] if body is None else [f"Content-Length: {len(body)}"]
        wire.send_raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))
        house.settle()
        sent = wire.sent.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        wire.transport.clear()
        wire.transport.write(sent)
        judge(wire.answer(head_only=method == "HEAD"), seen, head=method == "HEAD")
        house.end(wire)

    fuzz()
    tell(seen)


def test_any_bytes() -> None:
    """Any bytes, in any two pieces, are a request to be waited for, one to be served, or refused with 4xx."""
    house, seen = Fuzzed(server=LARGE, limits=UNLIMITED), Counter[int]()

    @fuzzed
    @given(raw_requests, st.integers(0, 400))
    def fuzz(data: bytes, cut: int) -> None:
        wire = house.connect()
        wire.send_raw(data[:cut])
        if data[cut:]:
            wire.send_raw(data[cut:])
        house.settle()
        while wire.sent:
            judge(wire.answer(), seen)
            house.settle()
        house.end(wire)

    fuzz()
    tell(seen)
