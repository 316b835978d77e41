"""
Where the daemon listens: several endpoints at once, TLS, unix sockets, sockets that it was handed.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from shutil import which
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue

from claudeproxy.testing.openai import StubOpenAI
from tests.helpers import real_cli
from tests.live.certificates import Authority
from tests.live.claude import until
from tests.live.daemon import Daemon

Start = Callable[..., Daemon]

CHAT = "/v1/chat/completions"


@pytest_twisted.async_yield_fixture
async def start(stub_openai: StubOpenAI) -> AsyncIterator[Start]:
    """Starts a daemon before an upstream, and stops it."""
    daemons: list[Daemon] = []

    def start(*arguments: str, listening: socket.socket | None = None, **settings: str) -> Daemon:
        upstream = {"OPENAI_API_KEY": "sk-upstream", "OPENAI_BASE_URL": f"{stub_openai.url}/v1"}
        environ = {"WARM_PROCESSES": "0", **upstream, **settings}
        daemons.append(Daemon.start(reactor, environ, *arguments, listening=listening))
        return daemons[-1]

    yield start
    for daemon in daemons:
        if not daemon.has_ended:
            assert (await daemon.kill()).code == 0


@pytest.fixture(scope="module")
def authority() -> Authority:
    """A certificate authority of our own."""
    return Authority.make()


def tls(directory: Path) -> str:
    """An endpoint with the certificate in a directory."""
    return f"ssl:0:privateKey={directory}/key.pem:certKey={directory}/cert.pem:interface=127.0.0.1"


class UnixConnection(http.client.HTTPConnection):
    """
    A client's connection to a unix socket.
    """

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def secure_connection(url: str, authority: Authority) -> http.client.HTTPSConnection:
    """A connection of a client that verifies the server, and that would rather speak HTTP/2."""
    context = ssl.create_default_context(cadata=authority.pem)
    context.set_alpn_protocols(["h2", "http/1.1"])
    connection = http.client.HTTPSConnection("localhost", urlsplit(url).port, timeout=10, context=context)
    connection.connect()
    return connection


def ask(connection: http.client.HTTPConnection, text: str = "hello", **headers: str) -> http.client.HTTPResponse:
    """Ask for a stream; return the answer once its head has come."""
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": text}]}
    connection.request("POST", CHAT, json.dumps(body), {"Content-Type": "application/json", **headers})
    return connection.getresponse()


def served(connection: http.client.HTTPConnection, text: str = "hello", **headers: str) -> int:
    """Ask, and read the answer to its end; return the status."""
    answer = ask(connection, text, **headers)
    body = answer.read()
    if answer.status == 200:
        assert body.endswith(b"data: [DONE]\n\n")
    return answer.status


def serial(connection: http.client.HTTPSConnection) -> Any:
    """What tells the server's certificate from others."""
    certificate = connection.sock.getpeercert()
    return certificate and certificate["serialNumber"]


@pytest_twisted.ensureDeferred
async def test_tls(start: Start, authority: Authority, tmp_path: Path) -> None:
    """
    A client that verifies the certificate is served by HTTP/1.1, streams and refusals included; one that does not know
    the authority is not.
    """
    authority.write(tmp_path)
    url = await start(LISTEN=tls(tmp_path), MAX_BODY_BYTES="1000").url()
    assert url.startswith("https://127.0.0.1:")

    def converse() -> list[Any]:
        connection = secure_connection(url, authority)
        seen: list[Any] = [connection.sock.selected_alpn_protocol()]
        seen += [served(connection), served(connection, "[[stub deltas=5 every=0.01]]")]
        connection.request("POST", CHAT, b"x" * 5000)
        answer = connection.getresponse()
        seen += [answer.status, json.loads(answer.read())["error"]["code"]]
        connection.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            secure_connection(url, Authority.make())
        return seen

    assert ["http/1.1", 200, 200, 413, "request_too_large"] == await deferToThread(converse)


@pytest_twisted.ensureDeferred
async def test_a_renewed_certificate(start: Start, authority: Authority, tmp_path: Path) -> None:
    """
    After SIGHUP new connections get the new certificate, and open ones go on; files that do not fit change nothing.
    """
    authority.write(tmp_path)
    daemon = start(LISTEN=tls(tmp_path))
    url = await daemon.url()
    running = await deferToThread(secure_connection, url, authority)
    first = serial(running)
    answer = await deferToThread(ask, running, "[[stub text=one two deltas=2 every=0.5]]")

    async def reload() -> dict[str, Any]:
        def said() -> list[dict[str, Any]]:
            return [line for line in daemon.log() if line["msg"].startswith("The configuration was")]

        before = len(said())
        os.kill(daemon.pid, signal.SIGHUP)
        await until(reactor, lambda: len(said()) > before)
        return said()[-1]

    async def current() -> Any:
        connection = await deferToThread(secure_connection, url, authority)
        number = serial(connection)
        assert 200 == await deferToThread(served, connection)
        connection.close()
        return number

    authority.write(tmp_path)
    assert first == await current()
    assert "info" == (await reload())["level"]
    second = await current()
    assert first != second
    assert b"[DONE]" in await deferToThread(answer.read)
    running.close()

    (tmp_path / "key.pem").write_text("no key")
    line = await reload()
    assert "error" == line["level"]
    assert "LISTEN (environment LISTEN)" in line["msg"] and "a PEM file cannot be used" in line["msg"]
    assert second == await current()


@pytest_twisted.ensureDeferred
async def test_several(start: Start, authority: Authority, tmp_path: Path) -> None:
    """The daemon listens at all of its endpoints; after the stop no socket is left."""
    authority.write(tmp_path)
    path = tmp_path / "socket"
    listen = ["tcp:0:interface=127.0.0.1", f"unix:{path}", tls(tmp_path)]
    toml = tmp_path / "claudeproxy.toml"
    toml.write_text(f"listen = {json.dumps(listen)}\n")
    daemon = start(f"--config={toml}", PORT="")
    plain = await daemon.url()
    await until(reactor, lambda: len(daemon.urls()) == 3)
    _, unix, secure = daemon.urls()

    assert [plain.partition(":")[0], unix, secure.partition(":")[0]] == ["http", "unix:[path]", "https"]
    for connect in (
        lambda: http.client.HTTPConnection("127.0.0.1", urlsplit(plain).port, timeout=10),
        lambda: UnixConnection(path),
        lambda: secure_connection(secure, authority),
    ):
        connection = await deferToThread(connect)
        assert 200 == await deferToThread(served, connection)
        connection.close()
    assert 0 == (await daemon.kill()).code
    assert ["cert.pem", "claudeproxy.toml", "key.pem"] == sorted(os.listdir(tmp_path))


@pytest_twisted.ensureDeferred
async def test_a_socket_that_somebody_removed(start: Start, tmp_path: Path) -> None:
    """A unix socket whose file is gone does not keep a stop from anything: a stream that runs still ends well."""
    path = tmp_path / "socket"
    daemon = start(LISTEN=f"unix:{path} tcp:0:interface=127.0.0.1")
    await daemon.url()
    await until(reactor, lambda: len(daemon.urls()) == 2)
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(daemon.urls()[1]).port, timeout=10)
    answer = await deferToThread(ask, connection, "[[stub text=one two deltas=2 every=0.5]]")
    path.unlink()
    ended = daemon.kill()
    assert b"[DONE]" in await deferToThread(answer.read)
    connection.close()

    assert 0 == (await ended).code
    assert [] == [line for line in daemon.log() if "trace" in line]
    said = [line["msg"] for line in daemon.log() if "did not end well" in line["msg"]]
    assert 1 == len(said) and "unix:" in said[0]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("order", [1, -1])
async def test_all_or_none(order: int, start: Start, stub_openai: StubOpenAI, tmp_path: Path) -> None:
    """When one endpoint cannot be had the daemon ends with one line that names it, and leaves nothing of the others."""
    taken = f"tcp:{stub_openai.port}:interface=127.0.0.1"
    ended = await start(LISTEN=" ".join([f"unix:{tmp_path}/socket", taken][::order])).ended()

    assert 1 == ended.code
    assert f"claudeproxy: cannot listen at {taken} (LISTEN): Address already in use\n" == ended.err
    assert [] == os.listdir(tmp_path)


@pytest_twisted.ensureDeferred
async def test_a_bad_endpoint_is_found_by_the_check(start: Start, tmp_path: Path) -> None:
    """A certificate that is missing ends the check with one line, and nothing has been opened."""
    endpoints = f"unix:{tmp_path}/socket {tls(tmp_path)}"
    for arguments in (["--check-config"], []):
        ended = await start(*arguments, LISTEN=endpoints).ended()
        assert (1, 1, "") == (ended.code, ended.err.count("\n"), ended.out)
        assert f"No such file or directory: '{tmp_path}/cert.pem'" in ended.err
    assert [] == os.listdir(tmp_path)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(("trusted", "statuses"), [("unix", [200, 200, 200]), ("127.0.0.1", [200, 429, 429])])
async def test_a_proxy_at_a_unix_socket(trusted: str, statuses: list[int], start: Start, tmp_path: Path) -> None:
    """
    Who comes through a unix socket has no address, so all are one client; unless the socket is trusted to be a proxy's.
    """
    path = tmp_path / "socket"
    daemon = start(LISTEN=f"unix:{path}", TRUSTED_PROXIES=trusted, RATE_LIMIT_PER_IP="1")
    await daemon.url()

    def ask_for(*clients: str) -> list[int]:
        connection = UnixConnection(path)
        seen = [served(connection, **{"X-Forwarded-For": client}) for client in clients]
        connection.close()
        return seen

    addresses = ["1.2.3.4", "9.9.9.9, 5.6.7.8", "2001:db8::1"]
    assert statuses == await deferToThread(ask_for, *addresses)
    await until(reactor, lambda: sum("path" in line for line in daemon.log()) == 3)
    told = [line.get("client") for line in daemon.log() if "path" in line]
    assert (["1.2.3.4", "5.6.7.8", "2001:db8::1"] if trusted == "unix" else [None] * 3) == told


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("which_one", ["index=0", "name=web"])
async def test_a_socket_from_systemd(which_one: str, start: Start) -> None:
    """A socket that is handed over is listened at; without one the daemon says so and ends."""
    endpoint = f"systemd:domain=INET:{which_one}"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = await start(LISTEN=endpoint, API_KEY="secret", listening=listening).url()
        assert f"http://127.0.0.1:{listening.getsockname()[1]}" == url
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(url).port, timeout=10)
        assert 200 == await deferToThread(served, connection, Authorization="Bearer secret")
        connection.close()
    ended = await start(LISTEN=endpoint, API_KEY="secret").ended()

    assert 1 == ended.code
    assert f"claudeproxy: cannot listen at {endpoint} (LISTEN): systemd has handed over no such socket\n" == ended.err


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("how", ["unix", "tls"])
async def test_the_demos_line_works_when_pasted(how: str, start: Start, authority: Authority, tmp_path: Path) -> None:
    """What the demo prints fits the endpoint."""
    real_cli()
    curl = which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    authority.write(tmp_path)
    daemon = start("--demo", LISTEN=f"unix:{tmp_path}/socket" if how == "unix" else tls(tmp_path))
    await daemon.url()
    await until(reactor, lambda: daemon.out.count("curl ") == 2)
    line = next(line for line in daemon.out.splitlines() if "curl" in line and "gpt-4o" in line)
    out, _, code = await getProcessOutputAndValue("/bin/sh", ["-c", line], env=os.environ)

    assert (0, True) == (code, b"canned answer" in out)
