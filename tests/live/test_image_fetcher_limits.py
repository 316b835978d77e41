"""
Pictures that are too large, too slow, or none; and whose servers are not who they should be.
"""

from __future__ import annotations

from ipaddress import ip_network

import pytest
import pytest_twisted
from cryptography import x509
from twisted.internet.defer import CancelledError

from claudeproxy.core.media import MAX_IMAGE_BYTES
from claudeproxy.testing.playing import End, Pause, RawAnswer
from claudeproxy.testing.stub import Stub
from tests.live.certificates import LOCALHOST, Authority
from tests.live.pictures import GIF, IMAGE, PNG, At, MakeFetcher, get, moved, picture, refused
from tests.memory.names import Names

LARGEST = PNG + bytes(MAX_IMAGE_BYTES - len(PNG))


@pytest_twisted.ensureDeferred
async def test_the_largest_picture(make_fetcher: MakeFetcher, picture_server: Stub) -> None:
    """A picture may be as large as the API takes it."""
    picture_server.script("/large", picture(LARGEST))

    assert len((await get(make_fetcher(), f"{picture_server.url}/large")).data) == 5 * 1024 * 1024


@pytest.mark.parametrize(
    "answer",
    [
        RawAnswer(headers=((b"Content-Length", b"%d" % (MAX_IMAGE_BYTES + 1)),), steps=(End.STALL,)),
        RawAnswer(steps=(LARGEST, b"\0", End.STALL)),
        RawAnswer(steps=(LARGEST, b"\0", End.STALL), chunked=True),
        RawAnswer(headers=((b"Content-Length", b"9" * 18),), steps=(End.STALL,)),
    ],
    ids=["declared", "to the end", "in chunks", "a lie"],
)
@pytest_twisted.ensureDeferred
async def test_a_picture_that_is_too_large(make_fetcher: MakeFetcher, picture_server: Stub, answer: RawAnswer) -> None:
    """What is beyond is not waited for: the connection is dropped, whatever the server said before."""
    picture_server.script("/large", answer)
    left = picture_server.next_departure()

    assert await refused(make_fetcher(), f"{picture_server.url}/large") == "it has more than 3932160 bytes."
    await left


@pytest.mark.parametrize(
    "answer",
    [
        RawAnswer(None, steps=(End.STALL,)),
        RawAnswer(None, steps=(b"HTTP/1.1 200 OK\r\nX: ", End.STALL)),
        RawAnswer(headers=((b"Content-Length", b"100"),), steps=(b"GIF89a", End.STALL)),
        RawAnswer(
            headers=((b"Content-Length", b"9000"),), steps=[step for _ in range(9000) for step in (b"x", Pause(0.02))]
        ),
        RawAnswer(None, steps=[step for _ in range(999) for step in (b"HTTP/1.1 102 Wait\r\n\r\n", Pause(0.02))]),
    ],
    ids=["nothing", "half a head", "half a body", "a trickle", "promises"],
)
@pytest_twisted.ensureDeferred
async def test_a_server_that_takes_its_time(make_fetcher: MakeFetcher, picture_server: Stub, answer: RawAnswer) -> None:
    """All of it together may take ``IMAGE_FETCH_TIMEOUT_MS``; then the connection is dropped."""
    picture_server.script("/slow", answer)
    left = picture_server.next_departure()

    assert await refused(make_fetcher(timeout=0.3), f"{picture_server.url}/slow") == "that took longer than 0.3 s."
    await left


@pytest_twisted.ensureDeferred
async def test_redirects_have_no_time_of_their_own(make_fetcher: MakeFetcher, picture_server: Stub) -> None:
    """The time is that of the picture, not of each step to it."""
    for number in range(3):
        picture_server.script(f"/{number}", RawAnswer(302, ((b"Location", b"/%d" % (number + 1)),), delay=0.2))

    assert await refused(make_fetcher(timeout=0.5), f"{picture_server.url}/0") == "that took longer than 0.5 s."


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (picture(b"<html>no picture</html>"), "it is no picture of type image/png, image/jpeg, image/gif, image/webp."),
        (picture(b""), "it is no picture of type image/png"),
        (picture(b"BM" + bytes(50)), "it is no picture of type image/png"),
        (picture(headers=((b"Content-Encoding", b"gzip"),)), "the answer is compressed"),
        (RawAnswer(204), "the answer has the status 204."),
        (RawAnswer(206, ((b"Content-Length", b"0"),)), "the answer has the status 206."),
        (RawAnswer(500, ((b"Content-Length", b"0"),)), "the answer has the status 500."),
        (RawAnswer(304), "the answer has the status 304."),
        (RawAnswer(None, steps=(b"220 mail.example ESMTP\r\n",)), "its host broke off, or does not speak HTTP."),
        (RawAnswer(None, steps=(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20000,)), "its host broke off"),
        (RawAnswer(headers=((b"Content-Length", b"100"),), steps=(GIF[:50], End.CLOSE)), "its host broke off"),
        (RawAnswer(headers=((b"Content-Length", b"100"),), steps=(GIF[:50], End.ABORT)), "its host broke off"),
        (RawAnswer(None, steps=(End.ABORT,)), "its host broke off"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_no_picture(
    make_fetcher: MakeFetcher, picture_server: Stub, answer: RawAnswer, told: str
) -> None:
    """The client learns what came in its place."""
    picture_server.script("/x", answer)

    assert told in await refused(make_fetcher(), f"{picture_server.url}/x")


@pytest_twisted.ensureDeferred
async def test_nobody_listens(make_fetcher: MakeFetcher, picture_server: Stub) -> None:
    """A host that may be reached and does not answer is told as such."""
    url = f"{picture_server.url}/a.png"
    await picture_server.stop()

    assert await refused(make_fetcher(), url) == "no connection to its host could be made."


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves(make_fetcher: MakeFetcher, picture_server: Stub) -> None:
    """The connection is dropped at once."""
    picture_server.script("/slow", RawAnswer(headers=((b"Content-Length", b"100"),), steps=(b"GIF89a", End.STALL)))
    arrived, left = picture_server.next_request(), picture_server.next_departure()
    fetching = get(make_fetcher(), f"{picture_server.url}/slow")
    await arrived
    fetching.cancel()

    with pytest.raises(CancelledError):
        await fetching
    await left


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest_twisted.ensureDeferred
async def test_a_picture_over_tls(make_fetcher: MakeFetcher, host: str) -> None:
    """A server with a good certificate is asked, by name or by address."""
    authority = Authority.make()
    server = await Stub().listen(At(options=authority.issue(*LOCALHOST).options()))
    server.script("/a.png", picture())
    fetcher = make_fetcher(trust_root=authority.trust_root, allowed=("localhost", ip_network("127.0.0.1")))

    assert await get(fetcher, f"https://{host}:{server.port}/a.png") == IMAGE
    await fetcher.close()
    await server.stop()


@pytest.mark.parametrize("trusted", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_certificate_that_is_not_valid(make_fetcher: MakeFetcher, trusted: bool) -> None:
    """One for another name, and one of an authority that nobody knows: no request is sent."""
    authority = Authority.make()
    name = x509.DNSName("other.example" if trusted else "localhost")
    server = await Stub().listen(At(options=authority.issue(name).options()))
    names = Names()
    names.set("localhost", ["127.0.0.1"])
    fetcher = make_fetcher(names, trust_root=authority.trust_root if trusted else None)

    assert await refused(fetcher, f"https://localhost:{server.port}/a.png") == "its host has no valid certificate."
    assert server.requests == []
    await server.stop()


@pytest_twisted.ensureDeferred
async def test_no_way_back_from_tls(make_fetcher: MakeFetcher, picture_server: Stub) -> None:
    """Whoever links by https gets nothing that came in the clear; the other way is fine."""
    authority = Authority.make()
    secure = await Stub().listen(At(options=authority.issue(*LOCALHOST).options()))
    secure.script("/down", moved(f"{picture_server.url}/a.png"))
    secure.script("/a.png", picture())
    picture_server.script("/up", moved(f"https://127.0.0.1:{secure.port}/a.png"))
    fetcher = make_fetcher(trust_root=authority.trust_root)

    assert await refused(fetcher, f"https://127.0.0.1:{secure.port}/down") == "it leads from https to http."
    assert picture_server.requests == []
    assert await get(fetcher, f"{picture_server.url}/up") == IMAGE
    await fetcher.close()
    await secure.stop()
