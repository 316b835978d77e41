"""
Random streams of upstreams that break at any byte, through the daemon, on real sockets.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable
from random import Random, randrange
from typing import Any

import pytest_twisted
from twisted.internet.defer import Deferred

from claudeproxy.config import LimitsConfig
from claudeproxy.testing.openai import StubOpenAI
from claudeproxy.testing.playing import End, RawAnswer, Step
from claudeproxy.wire.sse import EventDecoder, ServerSentEvent
from tests.live.whole import Client, Whole, request
from tests.memory.wire import Answer, chat_body, parse

Make = Callable[..., Whole]

CASES = max(60, int(os.environ.get("FUZZ_CASES", "0")) // 4)
SEED = os.environ.get("FUZZ_SEED") or ("1" if "FUZZ_CASES" not in os.environ else str(randrange(2**32)))
ONLY = os.environ.get("FUZZ_ONLY", "")
"""The numbers of the only cases to run, to look at one that failed."""

PATHS = ("/chat/completions", "/completions", "/responses", "/messages", "/threads/t/runs", "/images/generations")
NAMES = ("", "", "ping", "response.output_text.delta", "content_block_delta", "thread.message.delta")
ENDS = {
    "/chat/completions": "data: [DONE]",
    "/completions": "data: [DONE]",
    "/responses": 'event: response.completed\ndata: {"type":"response.completed","sequence_number":99}',
    "/messages": 'event: message_stop\ndata: {"type":"message_stop"}',
    "/threads/t/runs": "event: done\ndata: [DONE]",
    "/images/generations": 'event: image_generation.completed\ndata: {"type":"image_generation.completed"}',
}
"""What says in each dialect that a stream is over."""
DONE = {"/chat/completions", "/completions", "/responses"}
"""Where an error event is followed by the end mark."""


def stream(dice: Random, path: str) -> bytes:
    """
    A stream of a dialect: events, comments and perhaps its end.
    """
    blocks = []
    for number in range(dice.randrange(6)):
        name = dice.choice(NAMES)
        words = dice.choice(("é😀", "data: [DONE]", '"error"', "\n\n", "x" * dice.randrange(300)))
        data = json.dumps({"content": words, "sequence_number": number}, ensure_ascii=dice.random() < 0.5)
        blocks.append(
            f": {number}" if dice.random() < 0.1 else f"event: {name}\ndata: {data}" if name else f"data: {data}"
        )
    if dice.random() < 0.5:
        blocks.append(ENDS[path])
    end = dice.choice(("\n", "\r\n", "\r"))
    return "".join(block.replace("\n", end) + end * 2 for block in blocks).encode()


def pieces(dice: Random, data: bytes) -> list[bytes]:
    """
    Bytes, cut anywhere.
    """
    cuts = sorted(dice.randrange(len(data) + 1) for _ in range(dice.randrange(4)))
    return [piece for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if (piece := data[a:b])]


def read(data: bytes) -> list[ServerSentEvent]:
    """
    The whole events of a stream.
    """
    return EventDecoder(1_000_000).feed(data)


def ends_between_events(sent: bytes) -> bool:
    """
    Whether a whole event could follow, as a reader of lines sees it.
    """
    lines = sent.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return lines[-1] == b"" and (len(lines) == 1 or lines[-2] == b"")


def wrong_with(path: str, sent: bytes, answer: Answer) -> list[str]:
    """
    What is wrong with what became of a stream of which so much was sent before it broke.
    """
    if not answer.body.startswith(sent):
        return [f"{sent!r} became {answer.body!r}"]
    added = answer.body[len(sent) :]
    over = (
        bool(sent)
        and ends_between_events(sent)
        and ENDS[path] in sent.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n\n")
    )
    if not ends_between_events(sent):
        return [] if (added, answer.complete) == (b"", False) else [f"{added!r} after half an event {sent[-40:]!r}"]
    if not answer.complete:
        return ["the body was cut"]
    if over:
        return [f"{added!r} after the end"] if added else []
    events = read(answer.body)
    new = events[len(read(sent)) :]
    if not new:
        return [f"nothing after {sent[-60:]!r}"]
    told: Any = json.loads(new[0].data)
    wrong = [] if "error" in told or new[0].name == "error" else [f"no error event: {added!r}"]
    if path == "/responses" and told.get("sequence_number") != 1 + max(
        (json.loads(each.data)["sequence_number"] for each in read(sent)), default=-1
    ):
        wrong.append(f"number {told.get('sequence_number')}")
    if (path in DONE) != (new[-1].data == b"[DONE]" and new[-1].name == "message"):
        wrong.append(f"ends with {new[-1]}")
    return wrong


@pytest_twisted.ensureDeferred
async def test_a_stream_ends_in_its_dialect_or_is_cut(whole: Make, stub_openai: StubOpenAI) -> None:
    """
    Wherever an upstream breaks off: what it sent arrives unchanged, an error event of the dialect follows where one
    can, the body ends properly exactly then, and nothing stays in use.
    """
    gateway = whole(silence_timeout=0.3, breaker_failures=0, limits=LimitsConfig(rate_limit_per_ip=0))
    wrong: list[str] = []
    counts: Counter[str] = Counter()
    for number in [int(each) for each in ONLY.split(",")] if ONLY else range(CASES):
        dice = Random(f"{SEED}:{number}")
        path = dice.choice(PATHS)
        data = stream(dice, path)
        # Half of them break where an event can follow, or nearly so.
        at = [0, len(data), *(match.end() for match in re.finditer(rb"[\r\n]{2}", data))]
        sent = data[: dice.choice(at) if dice.random() < 0.5 else dice.randrange(len(data) + 1)]
        ending = dice.choice((End.CLOSE, End.CLOSE, End.ABORT, b"oops\r\n") if number % 20 else (End.STALL,))
        framed: list[Step] = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces(dice, sent)]
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        # A reset may overtake what was sent before it, so it waits until the client has that.
        client = await gateway.client()
        arrived = _arrival(client, sent)
        tail: list[Step] = [arrived, ending, *([End.STALL] if isinstance(ending, bytes) else [])]
        stub_openai.script(f"/v1{path}", RawAnswer(None, (), [head, *framed, *tail]))
        client.send(request("POST", f"/v1{path}", chat_body("gpt-4o", stream=True)))
        answer = await client.answer()
        await client.leave()
        found = wrong_with(path, sent, answer)
        counts["finished" if answer.complete else "cut"] += 1
        wrong += [f"FUZZ_SEED={SEED} FUZZ_ONLY={number} {path} {ending}: {each}" for each in found]
    await gateway.at_rest()
    print(f"\n{dict(counts)}")

    assert wrong == [], "\n".join(wrong[:10])
    if not ONLY:
        assert min(counts["finished"], counts["cut"]) > CASES / 20


def _arrival(client: Client, sent: bytes) -> Deferred[None]:
    """
    A Deferred that fires when a client has received a body's first bytes.
    """
    arrived: Deferred[None] = Deferred()
    take = client.dataReceived

    def received(data: bytes) -> None:
        take(data)
        body = parse(client.data)[0].body if b"\r\n\r\n" in client.data else b""
        if body.startswith(sent) and not arrived.called:
            arrived.callback(None)

    client.dataReceived = received  # type: ignore[method-assign]
    return arrived
