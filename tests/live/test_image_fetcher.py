"""
Pictures fetched from real servers on loopback.
"""

from __future__ import annotations

from base64 import b64encode

import pytest
import pytest_twisted

from claudeproxy import __version__
from claudeproxy.core.chat import Image
from claudeproxy.testing.playing import End, RawAnswer
from claudeproxy.testing.stub import Stub
from tests.live.pictures import GIF, IMAGE, PNG, At, MakeFetcher, get, moved, picture, refused
from tests.memory.names import Names


@pytest_twisted.ensureDeferred
async def test_a_picture(make_fetcher: MakeFetcher, picture_server: Stub) -> None:
    """It comes to the byte; its type is what its bytes say. The server learns of the request what it needs."""
    picture_server.script("/b/c%20d", picture(GIF))
    fetcher = make_fetcher()

    assert await get(fetcher, f"{picture_server.url}/a.png?x=%2F+y&z#fragment") == IMAGE
    assert await get(fetcher, f"{picture_server.url}/b/c d") == Image("image/gif", b64encode(GIF).decode())
    first = picture_server.requests[0]
    assert first.request_line == b"GET /a.png?x=%2F+y&z HTTP/1.1"
    assert dict(first.headers) == {
        "host": f"127.0.0.1:{picture_server.port}",
        "accept": "image/png, image/jpeg, image/gif, image/webp",
        "accept-encoding": "identity",
        "user-agent": f"claudeproxy/{__version__}",
    }


@pytest_twisted.ensureDeferred
async def test_a_picture_in_every_framing(make_fetcher: MakeFetcher, picture_server: Stub) -> None:
    """In chunks, to the end of the connection, and byte by byte."""
    pieces = [PNG[start : start + 1000] for start in range(0, len(PNG), 1000)]
    picture_server.script("/chunks", RawAnswer(steps=pieces, chunked=True))
    picture_server.script("/close", RawAnswer(steps=(*pieces, End.CLOSE)))
    picture_server.script(
        "/slowly", RawAnswer(headers=((b"Content-Length", b"106"),), steps=[GIF[i : i + 1] for i in range(106)])
    )
    fetcher = make_fetcher()

    assert await get(fetcher, f"{picture_server.url}/chunks") == IMAGE
    assert await get(fetcher, f"{picture_server.url}/close") == IMAGE
    assert (await get(fetcher, f"{picture_server.url}/slowly")).media_type == "image/gif"


@pytest_twisted.ensureDeferred
async def test_pictures_are_kept_for_a_while(make_fetcher: MakeFetcher, picture_server: Stub) -> None:
    """A link that comes again in a conversation is not fetched again; another tenant's is, and one with other words."""
    fetcher = make_fetcher()
    for _ in range(3):
        assert await get(fetcher, f"{picture_server.url}/a.png") == IMAGE
    assert len(picture_server.requests) == 1

    assert await get(fetcher, f"{picture_server.url}/a.png", "another") == IMAGE
    assert await get(fetcher, f"{picture_server.url}/a.png?2") == IMAGE
    assert len(picture_server.requests) == 3


@pytest_twisted.ensureDeferred
async def test_failures_are_not_kept(make_fetcher: MakeFetcher, picture_server: Stub) -> None:
    """A picture that was not there may be there a moment later."""
    picture_server.script("/later", RawAnswer(404, ((b"Content-Length", b"0"),)), picture())
    fetcher = make_fetcher()

    assert await refused(fetcher, f"{picture_server.url}/later") == "the answer has the status 404."
    assert await get(fetcher, f"{picture_server.url}/later") == IMAGE


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/a.png",
        "http://localhost:{port}/a.png",
        "http://2130706433:{port}/a.png",
        "http://0x7f000001:{port}/a.png",
        "http://0x7f.1:{port}/a.png",
        "http://0177.0.0.1:{port}/a.png",
        "http://017700000001:{port}/a.png",
        "http://127.1:{port}/a.png",
        "http://127.000.000.001:{port}/a.png",
        "http://①②⑦.⓪.⓪.①:{port}/a.png",
        "http://127。0。0。1:{port}/a.png",
        "http://0:{port}/a.png",
        "http://0.0.0.0:{port}/a.png",
        "http://[::1]:{port}/a.png",
        "http://[::]:{port}/a.png",
        "http://[::ffff:127.0.0.1]:{port}/a.png",
        "http://[::ffff:7f00:1]:{port}/a.png",
        "http://[0:0:0:0:0:ffff:7f00:0001]:{port}/a.png",
    ],
)
@pytest_twisted.ensureDeferred
async def test_loopback_is_not_reached_however_it_is_written(
    make_fetcher: MakeFetcher, picture_server: Stub, url: str
) -> None:
    """By default nothing of this machine is asked, whatever its address looks like."""
    fetcher = make_fetcher(allowed=())

    assert "its host has no address to fetch from" in await refused(fetcher, url.format(port=picture_server.port))
    assert picture_server.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest_twisted.ensureDeferred
async def test_redirects_are_followed(make_fetcher: MakeFetcher, picture_server: Stub, status: int) -> None:
    """Up to three of them, absolute and relative ones; what else they say is not waited for."""
    picture_server.script("/1", moved("/x/2", status))
    picture_server.script("/x/2", moved("../3?y", status))
    picture_server.script("/3", moved(f"{picture_server.url}/a.png", status))
    fetcher = make_fetcher()

    assert await get(fetcher, f"{picture_server.url}/1") == IMAGE
    assert [request.path for request in picture_server.requests] == ["/1", "/x/2", "/3", "/a.png"]
    assert all("referer" not in request.headers for request in picture_server.requests)


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("/again", "there are more than 3 redirects"),
        ("http://127.0.0.2:{other}/a.png", "its host has no address to fetch from"),
        ("//localhost.:{other}/a.png", "its host has no address to fetch from"),
        ("http://[::ffff:127.0.0.2]:{other}/a.png", "its host has no address to fetch from"),
        ("http://2130706434:{other}/a.png", "its host has no address to fetch from"),
        ("http://my_pictures.invalid:{other}/a.png", "its host has no address to fetch from"),
        ("http://user:word@127.0.0.1:{port}/a.png", "has a user name in it"),
        ("ftp://127.0.0.1/a.png", "its URL is not valid"),
        ("file:///etc/passwd", "its URL is not valid"),
        ("data:image/png;base64,iVBORw0KGgo=", "its URL is not valid"),
        ("http://[", "it leads to a URL that is not valid"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_redirects_that_are_not_followed(
    make_fetcher: MakeFetcher, picture_server: Stub, location: str, told: str
) -> None:
    """A redirect leads nowhere that a link may not lead to; the server behind it is not even connected to."""
    other = await Stub().listen(At("127.0.0.2"))
    to = location.format(port=picture_server.port, other=other.port)
    for _ in range(4):
        picture_server.script("/again", moved(to))
    names = Names()
    names.set("127.0.0.1", ["127.0.0.1"])
    names.set("localhost.", ["127.0.0.2"])
    names.set("::ffff:7f00:2", ["::ffff:127.0.0.2"])
    names.set("2130706434", ["127.0.0.2"])
    fetcher = make_fetcher(names)

    assert told in await refused(fetcher, f"{picture_server.url}/again")
    assert other.connections == 0
    await other.stop()


@pytest_twisted.ensureDeferred
async def test_a_redirect_without_a_place(make_fetcher: MakeFetcher, picture_server: Stub) -> None:
    """A redirect must say where to."""
    picture_server.script("/odd", RawAnswer(302, ((b"Location", b"/\xff"),)))
    picture_server.script("/none", RawAnswer(302))
    for path in ("/odd", "/none"):
        assert "the redirect has no location" in await refused(make_fetcher(), picture_server.url + path)


@pytest_twisted.ensureDeferred
async def test_a_name_that_changes_its_mind(make_fetcher: MakeFetcher, picture_server: Stub) -> None:
    """A name is looked up once for a connection, and that connection goes to the very address that was looked at."""
    other = await Stub().listen(At("127.0.0.2"), picture_server.port)
    names = Names()
    names.set("rebinding.example", ["127.0.0.1"], ["127.0.0.2"])
    fetcher = make_fetcher(names)

    assert await get(fetcher, f"http://rebinding.example:{picture_server.port}/a.png") == IMAGE
    assert names.asked == ["rebinding.example"]
    await fetcher.close()
    assert "no address" in await refused(make_fetcher(names), f"http://rebinding.example:{picture_server.port}/a.png")
    assert (picture_server.connections, other.connections) == (1, 0)
    await other.stop()


@pytest_twisted.ensureDeferred
async def test_a_host_that_is_allowed(make_fetcher: MakeFetcher, picture_server: Stub) -> None:
    """A host of ``IMAGE_FETCH_ALLOW`` is reached at whatever address."""
    names = Names()
    names.set("pics.internal", ["127.0.0.1"])
    fetcher = make_fetcher(names, allowed=("pics.internal",))

    assert await get(fetcher, f"http://pics.internal:{picture_server.port}/a.png") == IMAGE
    assert picture_server.requests[0].headers["host"] == f"pics.internal:{picture_server.port}"
