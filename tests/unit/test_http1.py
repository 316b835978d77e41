"""
The reader of HTTP/1.1 answers.
"""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.wire.http1 import MAX_HEAD_BYTES, AnswerHead, AnswerReader, RemoteProtocolError, Truncated

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

ANSWERS = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:  b c \t\r\n\r\nhello", b"hello"),
    "chunked": (CHUNKED + b'5\r\nhello\r\n00A;ext="1"\r\n0123456789\r\n0\r\n\r\n', b"hello0123456789"),
    "trailers": (CHUNKED + b"2\r\n\r\n\r\n0\r\nExpires: now\r\nX: y\r\n\r\n", b"\r\n"),
    "empty chunked": (CHUNKED + b"0\r\n\r\n", b""),
    "empty": (b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n", b""),
    "no body": (b"HTTP/1.1 204 \r\n\r\n", b""),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", b""),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", b"x"),
    "informational": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: y\r\n\r\n" + CHUNKED + b"0\r\n\r\n", b""),
    "twice the same": (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
}


def read(*pieces: bytes, method: bytes = b"GET") -> tuple[AnswerReader, bytes]:
    """Feed all pieces."""
    reader = AnswerReader(method)
    return reader, b"".join([reader.feed(piece) for piece in pieces])


def head_of(data: bytes, method: bytes = b"GET") -> AnswerHead:
    """The head of an answer."""
    reader, _ = read(data, method=method)
    assert reader.head is not None
    return reader.head


@pytest.mark.parametrize("name", ANSWERS)
def test_reads(name: str) -> None:
    """Every framing gives its body and ends where it ends."""
    data, expected = ANSWERS[name]

    reader, body = read(data)

    assert (body, reader.complete, reader.excess) == (expected, True, b"")


@given(st.sampled_from(sorted(ANSWERS)), st.lists(st.integers(0, 200), max_size=10), st.binary(max_size=8))
def test_split_anywhere(name: str, cuts: list[int], excess: bytes) -> None:
    """Where the bytes are cut makes no difference, and what comes behind the answer is not part of it."""
    data, expected = ANSWERS[name]
    data += excess
    ends = sorted(min(cut, len(data)) for cut in cuts)

    reader, body = read(*[data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)])
    whole, _ = read(data)

    assert (body, reader.complete, reader.excess) == (expected, True, excess)
    assert reader.head == whole.head


def test_byte_by_byte() -> None:
    """An answer that dribbles in is given on as it dribbles."""
    data, expected = ANSWERS["chunked"]
    reader = AnswerReader(b"GET")

    assert b"".join([reader.feed(data[i : i + 1]) for i in range(len(data))]) == expected
    assert reader.complete


def test_the_body_comes_at_once() -> None:
    """A part of a chunk is given on before the rest of the chunk is there."""
    reader, _ = read(CHUNKED)

    assert reader.feed(b"a\r\n01234") == b"01234"
    assert reader.feed(b"56789\r") == b"56789"
    assert not reader.complete


def test_the_head() -> None:
    """Headers keep their order, spelling and repetition; blanks around values go."""
    head = head_of(b"HTTP/1.1 429 Slow Down\r\nx-A:1\r\nSet-Cookie: a\r\nX-a:\t2 \r\nE:\r\nContent-Length: 0\r\n\r\n")

    assert head.status == 429
    assert head.headers == [
        (b"x-A", b"1"),
        (b"Set-Cookie", b"a"),
        (b"X-a", b"2"),
        (b"E", b""),
        (b"Content-Length", b"0"),
    ]
    assert head.values(b"x-a") == [b"1", b"2"]


def test_the_end_of_the_connection_as_the_end_of_the_body() -> None:
    """Without any framing the body goes on to the connection's end."""
    reader, body = read(b"HTTP/1.1 200 OK\r\n\r\nabc", b"def")
    assert (body, reader.complete) == (b"abcdef", False)

    reader.eof()

    assert reader.complete


@pytest.mark.parametrize("cut", range(1, len(ANSWERS["chunked"][0])))
def test_a_broken_answer(cut: int) -> None:
    """An answer that stops before its end is not taken for a whole one."""
    reader, _ = read(ANSWERS["chunked"][0][:cut])

    with pytest.raises(Truncated):
        reader.eof()


def test_nothing_at_all() -> None:
    """Whether anything came is known, for a request that was not answered at all may be sent again."""
    reader = AnswerReader(b"GET")
    assert not reader.started
    with pytest.raises(Truncated):
        reader.eof()

    assert read(b"H")[0].started


def test_the_answer_to_a_head() -> None:
    """It declares a body that does not come."""
    reader, body = read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", method=b"HEAD")

    assert reader.head is not None
    assert (reader.head.length, body, reader.complete) == (5, b"", True)


@pytest.mark.parametrize(
    ("start", "keeps"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nconnection: x, CLOSE\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n", False),
        (b"HTTP/1.1 200 OK\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", False),
    ],
)
def test_whether_the_connection_is_kept(start: bytes, keeps: bool) -> None:
    """A connection is kept only when both sides are certain where the answer ends."""
    assert head_of(start + b"\r\n").persistent is keeps


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 +20 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: y\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\nY: b\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * MAX_HEAD_BYTES,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * MAX_HEAD_BYTES + b"\r\n\r\n",
        CHUNKED + b"x\r\n",
        CHUNKED + b"+5\r\nhello\r\n",
        CHUNKED + b"0x5\r\nhello\r\n",
        CHUNKED + b" 5\r\nhello\r\n",
        CHUNKED + b"5\nhello\r\n",
        CHUNKED + b"5\r\nhello!\r\n",
        CHUNKED + b"5\r\nhello\n0\r\n\r\n",
        CHUNKED + b"5" * 16 + b"\r\n",
        CHUNKED + b"5;" + b"x" * 2000,
        CHUNKED + b"0\r\nX: " + b"y" * MAX_HEAD_BYTES,
    ],
)
def test_refuses(data: bytes) -> None:
    """What is no answer, or could be read in two ways, is refused, however it is cut."""
    with pytest.raises(RemoteProtocolError):
        read(data)
    if len(data) < 1000:
        with pytest.raises(RemoteProtocolError):
            read(*[data[i : i + 1] for i in range(len(data))])


@given(st.lists(st.binary(max_size=60), max_size=10), st.sampled_from([b"", CHUNKED, b"HTTP/1.1 200 OK\r\n"]))
def test_any_bytes(pieces: list[bytes], start: bytes) -> None:
    """Nothing but a protocol error comes out of bytes that are no answer."""
    with contextlib.suppress(RemoteProtocolError):
        read(start, *pieces)


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20), st.integers(1, 400))
def test_any_body(chunks: list[bytes], size: int) -> None:
    """Any bytes, in any chunks, read in any pieces, come out as they went in."""
    data = CHUNKED + b"".join(b"%X\r\n%b\r\n" % (len(each), each) for each in chunks) + b"0\r\n\r\n"

    reader, body = read(*[data[i : i + size] for i in range(0, len(data), size)])

    assert (body, reader.complete) == (b"".join(chunks), True)
