"""
Thousands of connections with odd framing, on real sockets, compared with what another parser (h11) makes of them.

No request may be found where h11 finds none, and none may have another body. What h11 refuses is refused; what it takes
is taken, or refused for one of the reasons in :data:`STRICTER`.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from typing import Any

import h11
import pytest_twisted
from attrs import frozen
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from claudeproxy.config import ServerConfig
from claudeproxy.web.answers import json_answer
from tests.live.claude import until
from tests.memory.wire import Answer, House, parse

CASES = int(os.environ.get("FUZZ_CASES", "80"))

STRICTER = (
    ("must end with CRLF|control characters", "RFC 9112, 2.2: LF alone is taken by choice; we do not"),
    ("folded", "RFC 9112, 5.2: a folded line is refused or unfolded"),
    ("exclude each other", "RFC 9112, 6.1 and 6.3: two lengths are refused, or one is chosen"),
    ("one number, in digits", "RFC 9110, 8.6: a list of equal lengths is refused or taken as one"),
    ("with HTTP/1.0", "RFC 9112, 6.1: the framing of a 1.0 request with transfer encodings is faulty"),
    ("header Host must be|target must", "RFC 9112, 3.2: what is no host or no target is refused"),
    ("divided into chunks", "RFC 9112, 7.1: line ends in extensions, blanks around sizes, lines of more than 1 KiB"),
    ("trailer", "RFC 9112, 7.1.2: trailers are header lines"),
)
"""What a refusal says where h11 may take the request, and why."""

UNSPECIFIC = re.compile(
    rb"HTTP/(?!1\.[01][\r\n])"  # other versions than ours
    rb"|\n\r?\n\r?\n|^\r?\n\r?\n"  # more empty lines than one before a request
)
"""What is in a request that is refused as "not valid HTTP" where h11 takes it."""

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"


def usually(value: bytes, *others: bytes) -> st.SearchStrategy[bytes]:
    """Most often the value, else one of the others."""
    return st.sampled_from([value] * (8 * len(others) + 1) + list(others))


def part(*parts: bytes | st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """The parts, one after the other."""
    return st.tuples(*(st.just(it) if isinstance(it, bytes) else it for it in parts)).map(b"".join)


ends = usually(b"\r\n", b"\n", b"\r", b"\r\r\n", b" \r\n", b"\r\n\r\n")
colons = usually(b": ", b":", b" :", b"\t:", b":\t ", b"", b":\r\n ", b":\x0b", b": \0")
methods = usually(b"GET", b"POST", b"get", b"G@T", b"", b"OPTIONS", b"A" * 300)
targets = usually(
    *(b"/a", b"/a?b", b"/v1/a%20b", b"*", b"a", b"", b"http://localhost/a", b"http://u@localhost/", b"http:///a"),
    *(b"/\x80", b"/a b", b"/\x7f", b"localhost:80", b"/" + b"a" * 20000, b"HTTP://[::1]:80/a", b"/a#b"),
)
versions = usually(
    *(b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/1.10", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1", b"HTTP/1,1", b"")
)
request_lines = part(
    usually(b"", b"\r\n", b"\r\n\r\n", b"\n", b" "),
    *(methods, usually(b" ", b"  ", b"\t"), targets, usually(b" ", b"  ", b"\x0b"), versions, ends),
)
hosts = part(
    *(usually(b"Host", b"host", b"HOST", b"Host\t", b"X-Host"), colons),
    usually(b"localhost", b"", b"localhost:80", b"a@b", b"a/b", b"a b", b"[::1]", b"\xe4", b"a:b", b"a,b"),
    ends,
)
lengths = part(
    *(usually(b"Content-Length", b"content-length", b"Content_Length", b"Content-Length\0"), colons),
    st.sampled_from([b"0", b"3", b"5", b"10", b"40", b"99999"])
    | st.sampled_from([b"", b"+3", b"-3", b"3, 3", b"3,4", b"03", b"0x3", b"3 ", b"1_0", b"\xd9\xa3", b"3\x0b"])
    | st.sampled_from([b"9" * 20, b"9" * 4301]),
    ends,
)
encodings = part(
    *(usually(b"Transfer-Encoding", b"transfer-encoding", b"Transfer_Encoding", b"Transfer-Encoding "), colons),
    usually(b"chunked", b"Chunked", b"identity", b"gzip, chunked", b"chunked, identity", b"chunked,", b"xchunked")
    | st.sampled_from([b"chunked, chunked", b"identity, chunked", b'"chunked"', b"chunked;a=b", b"", b"chunked\x0b"]),
    ends,
)
connections = part(
    b"Connection: ", st.sampled_from([b"close", b"TE, close", b"close,TE", b"keep-alive", b"closed", b"Close"]), ends
)
others = part(
    st.sampled_from([b"X", b"X-Y", b"X Y", b"", b"X\x80", b" X", b"\tX", b"Accept"]),
    *(colons, st.sampled_from([b"a", b"", b"a\tb", b"a\0b", b"a\x0bb", b"\x80", b"a\r\n b", b"a\nb", b"b" * 17000])),
    ends,
)
some_headers = st.lists(usually(b"X: a\r\n") | others | connections, max_size=2).map(b"".join)
chunk_sizes = usually(
    *(b"3", b"0003", b"3;a=b", b"3 ", b"3 ;a", b" 3", b"+3", b"-3", b"0x3", b"3_0", b"4", b"2", b"", b"g"),
    *(b"3;a\nb", b"3;\x80", b'3;a="\r"', b"f" * 30, b"3;" + b"a" * 2000, b"3\x0b", b"3;"),
)
chunks = st.lists(
    part(chunk_sizes, usually(b"\r\n", b"\n"), b"abc", usually(b"\r\n", b"\n", b"", b"x\r\n")), max_size=2
)
last_chunks = part(
    usually(b"0", b"000", b"0;a", b"", b"0 "),
    usually(b"\r\n", b"\n"),
    usually(b"", b"X: a\r\n", b"X\r\n", b"Content-Length: 5\r\n", b" a\r\n", b"X: a\nY: b\r\n", b"X : a\r\n"),
    usually(b"\r\n", b"\n", b""),
)
bodies = st.one_of(
    st.just(b""),
    st.just(HIDDEN),
    st.sampled_from([b"abc", b"abcde", b"x" * 40]),
    part(chunks.map(b"".join), last_chunks),
)

odd_requests = part(
    *(request_lines, usually(b"Host: localhost\r\n") | hosts, some_headers),
    st.lists(lengths | encodings | hosts, max_size=2).map(b"".join),
    *(usually(b"\r\n", b"\n", b"", b"\r"), bodies),
)
proper = b" /a HTTP/1.1\r\nHost: localhost\r\n"
proper_requests = st.one_of(
    part(b"GET", proper, some_headers, b"\r\n"),
    part(b"POST", proper, b"Content-Length: 5\r\n", some_headers, b"\r\nabcde"),
    part(b"POST", proper, b"Transfer-Encoding: chunked\r\n\r\n", chunks.map(b"".join), last_chunks),
    part(b"POST", proper, lengths, encodings, b"\r\n", bodies),
    part(b"POST", proper, lengths | encodings, b"\r\n", bodies),
)


@st.composite
def connection(draw: st.DrawFn) -> list[bytes]:
    """
    What one client sends: a few requests, perhaps damaged, in pieces.
    """
    sent = b"".join(draw(st.lists(proper_requests | odd_requests, min_size=1, max_size=4)))
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(sent)))
        damage = draw(st.sampled_from([b"\0", b"\n", b"\r", b" ", b"\t", b":", b"\xff", b"0", b"a", b",", b"\r\n"]))
        sent = sent[:at] + damage + sent[at + draw(st.integers(0, 2)) :]
    cuts = sorted(draw(st.lists(st.integers(0, len(sent)), max_size=3)))
    return [sent[start:end] for start, end in pairwise([0, *cuts, len(sent)]) if start < end]


@frozen
class Read:
    """
    What a parser found.
    """

    requests: list[tuple[str, str, str]]
    """Method, target and body of each request that it took."""
    refused: bool = False
    """Whether it refused what came next."""
    closed: bool = False
    """Whether more came after a request that asked for the connection's end; its sender may miss the answer to that."""


def by_h11(sent: bytes) -> Read:
    """
    What h11 finds.
    """
    requests: list[tuple[str, str, str]] = []
    while sent:
        server = h11.Connection(h11.SERVER, max_incomplete_event_size=1_000_000)
        server.receive_data(sent.removeprefix(b"\r\n"))  # an empty line is passed over (RFC 9112, 2.2), but not by h11
        request, body = None, b""
        while True:
            try:
                event = server.next_event()
            except h11.RemoteProtocolError:
                return Read(requests, refused=True)
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return Read(requests)
        assert request is not None
        requests.append((request.method.decode(), request.target.decode("latin-1"), body.decode("latin-1")))
        sent = server.trailing_data[0]
        server.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
        server.send(h11.EndOfMessage())
        if server.our_state is h11.MUST_CLOSE:
            return Read(requests, closed=bool(sent))
    return Read(requests)


class Echo(Resource):
    """
    Answers with what the server has read.
    """

    isLeaf = True

    def render(self, request: Any) -> int:
        told = (request.method.decode(), request.uri.decode("latin-1"), request.content.read().decode("latin-1"))
        request.write(json_answer(request, json.dumps(told).encode()))
        request.finish()
        return NOT_DONE_YET


def exchange(port: int, pieces: list[bytes], wait: bool) -> list[Answer]:
    """
    Send the pieces, and return all answers.

    :param wait: leave it to the server to end the connection; else it is told that nothing more comes.
    """
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(ConnectionError, OSError):  # as far as the server still listens
            for piece in pieces:
                client.sendall(piece)
            if not wait:
                client.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while piece := client.recv(65536):
                received += piece
    answers = []
    while received:
        answer, received = parse(received, closing=True)
        assert answer.complete and answer.headers["x-request-id"]
        answers.append(answer)
    return answers


def check(port: int, pieces: list[bytes], found: Counter[str]) -> None:
    """
    Compare what the server makes of a connection with what h11 does.
    """
    sent = b"".join(pieces)
    theirs = by_h11(sent)
    answers = exchange(port, pieces, wait=theirs.refused)
    refusal = None
    if answers and answers[-1].status >= 400 and answers[-1].headers.get("connection") == "close":
        refusal = answers.pop()
        assert refusal.error["type"] == "invalid_request_error"
        found[f"{refusal.status} {refusal.error['message']}"] += 1
    ours = [tuple(answer.json) if answer.status == 200 else None for answer in answers]
    for mine, other in zip(ours, theirs.requests, strict=False):
        assert mine in (None, other)
    assert len(ours) <= len(theirs.requests), "a request where there is none"
    assert None not in ours or all(answer.status in (200, 400, 404) for answer in answers)
    found["taken"] += len(ours)
    if refusal is None:
        assert theirs.closed or (not theirs.refused and len(ours) == len(theirs.requests))
    else:
        assert refusal.status != 408, "the server waits for more of what is wrong already"
        # h11 looks at a head when it is whole, we do at each of its lines.
        if len(ours) < len(theirs.requests) or not by_h11(sent + b"\r\n\r\n").refused:
            message = refusal.error["message"]
            reason = any(re.search(pattern, message) for pattern, _ in STRICTER)
            assert reason or refusal.status != 400 or UNSPECIFIC.search(sent), message


@pytest_twisted.ensureDeferred
async def test_framing() -> None:
    """
    Whatever comes, each request is one for h11 too; what is refused is answered in the form of all errors, and logged.
    """
    house = House(
        clock=reactor, server=ServerConfig(max_body_bytes=50_000, client_header_timeout=2.0, client_body_timeout=2.0)
    )
    house.site.resource = Echo()
    port: Any = reactor.listenTCP(0, house.site, interface="127.0.0.1")
    found: Counter[str] = Counter()

    @settings(
        max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False
    )
    @given(connection())
    @example([b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\n" + HIDDEN])
    @example([HIDDEN + b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 4301 + b"\r\n\r\n"])
    def one(pieces: list[bytes]) -> None:
        check(port.getHost().port, pieces, found)

    try:
        await deferToThread(one)
    finally:
        await port.stopListening()
        await until(reactor, lambda: not house.site.channels)
    print(f"\n{sum(found.values())} requests:", *(f"{count:6} {what}" for what, count in found.most_common()), sep="\n")

    assert 0 == house.drain.in_flight
    assert found["taken"] > CASES / 10
    logged = Counter(str(event["access"]["status"]) for event in house.events)
    assert logged.total() - logged["499"] >= sum(found.values())
