"""
The servers that take part: the daemon, nginx as a stub of the upstream, and nginx as the proxy to compare with.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import field, frozen

from benchmarks.machine import Cores
from benchmarks.processes import free_port, listens, only_child, running, wait_until

__all__ = ["KEY", "Server", "Servers"]

KEY = "bench-key"
"""The daemon's key, which every request presents."""

_COMPLETION = (
    '{"id":"chatcmpl-bench","object":"chat.completion","created":1767225600,"model":"gpt-4o","choices":[{"index":0,'
    '"message":{"role":"assistant","content":"Hello there, how may I help you today?","refusal":null},"logprobs":null,'
    '"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":9,"total_tokens":19}}'
)

_NGINX = """
worker_processes 1;
worker_cpu_affinity {mask};
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log {access_log};
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 1000000000;
    {upstream}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{ {location} }}
    }}
}}
"""


@frozen
class Server:
    """
    A server that listens.
    """

    port: int
    pid: int
    """Of the process that does the work."""

    @property
    def url(self) -> str:
        """
        The root, without a path.
        """
        return f"http://127.0.0.1:{self.port}"


@frozen
class Servers:
    """
    Starts servers, each on its core; what they write goes to a directory that does not last.
    """

    cores: Cores
    directory: Path = field(converter=Path)

    @classmethod
    @contextmanager
    def on(cls, cores: Cores) -> Iterator[Servers]:
        """
        Servers with a directory of their own.
        """
        with TemporaryDirectory(prefix="claudeproxy-bench-") as directory:
            Path(directory).chmod(0o755)  # nginx's workers are somebody else
            yield cls(cores, directory)

    @contextmanager
    def daemon(self, settings: Mapping[str, str], *, pinned: bool = True) -> Iterator[Server]:
        """
        The daemon on the tested core, as it is by default, with a key, and with limits that the load stays below.

        :param pinned: False gives it, and the CLIs that it starts, all cores.
        """
        port, directory = free_port(), self._own("daemon")
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(directory),
            "PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH", "")])),
            "PORT": str(port),
            "STATE_DIR": str(directory),
            "API_KEY": KEY,
            "WARM_PROCESSES": "0",
            "RATE_LIMIT_PER_IP": "1000000000",
            "RATE_LIMIT_PER_SESSION": "1000000000",
            "MAX_CONCURRENT_PER_KEY": "100000",
            **settings,
        }
        command, log = [sys.executable, "-m", "twisted", "claudeproxy"], directory / "log"
        core = self.cores.tested if pinned else None
        with running(command, core=core, log=log, environment=environment) as process:
            wait_until(lambda: _answers(port, "/health/live"), process, log)
            yield Server(port, process.pid)

    @contextmanager
    def passthrough(self, upstream: Server) -> Iterator[Server]:
        """
        The daemon before an upstream.
        """
        with self.daemon({"OPENAI_API_KEY": "sk-bench", "OPENAI_BASE_URL": f"{upstream.url}/v1"}) as server:
            yield server

    @contextmanager
    def completions(self) -> Iterator[Server]:
        """
        An upstream that answers everything with one short completion, on the loading core.
        """
        location = f"default_type application/json; return 200 '{_COMPLETION}';"
        with self._nginx("upstream", self.cores.loading, location, access_log="off") as server:
            yield server

    @contextmanager
    def anthropic(self) -> Iterator[Server]:
        """
        The stub of Anthropic's API, which answers at once.
        """
        port, directory = free_port(), self._own("anthropic")
        command, log = [sys.executable, "-m", "benchmarks.claude_upstream", str(port)], directory / "log"
        with running(command, core=None, log=log) as process:
            wait_until(lambda: listens(port), process, log)
            yield Server(port, process.pid)

    @contextmanager
    def stubs(self) -> Iterator[tuple[Server, Server]]:
        """
        The stubs of both APIs, Anthropic's and OpenAI's, which do what a request asks them to.
        """
        ports, directory = (free_port(), free_port()), self._own("stubs")
        command, log = [sys.executable, "-m", "benchmarks.soak_upstream", *map(str, ports)], directory / "log"
        with running(command, core=None, log=log) as process:
            wait_until(lambda: all(map(listens, ports)), process, log)
            yield Server(ports[0], process.pid), Server(ports[1], process.pid)

    @contextmanager
    def nginx_by_default(self, upstream: Server) -> Iterator[Server]:
        """
        nginx with nothing but ``proxy_pass``: a connection to the upstream for each request.
        """
        location = f"proxy_pass http://127.0.0.1:{upstream.port};"
        with self._nginx("default", self.cores.tested, location) as server:
            yield server

    @contextmanager
    def nginx(self, upstream: Server) -> Iterator[Server]:
        """
        nginx as a proxy on the tested core: one worker, kept connections, nothing buffered, and an access log, since
        the daemon writes one.
        """
        location = (
            "proxy_pass http://bench; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_buffering off;"
        )
        kept = f"upstream bench {{ server 127.0.0.1:{upstream.port}; keepalive 512; keepalive_requests 1000000000; }}"
        with self._nginx("proxy", self.cores.tested, location, upstream=kept) as server:
            yield server

    @contextmanager
    def _nginx(
        self, name: str, core: int, location: str, *, upstream: str = "", access_log: str = ""
    ) -> Iterator[Server]:
        port, directory = free_port(), self._own(name)
        config, log = directory / "nginx.conf", directory / "log"
        config.write_text(
            _NGINX.format(
                mask=f"{1 << core:b}",
                directory=directory,
                access_log=access_log or directory / "access.log",
                upstream=upstream,
                port=port,
                location=location,
            )
        )
        path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
        with running(["nginx", "-c", str(config)], core=core, log=log, environment={"PATH": path}) as process:
            wait_until(lambda: listens(port), process, log)
            yield Server(port, only_child(process.pid))

    def log(self, name: str) -> str:
        """
        What the servers of this name have written.
        """
        return "".join(path.read_text(errors="replace") for path in sorted(self.directory.glob(f"{name}-*/log")))

    def _own(self, name: str) -> Path:
        directory = self.directory / f"{name}-{len(list(self.directory.iterdir()))}"
        directory.mkdir()
        directory.chmod(0o777)
        return directory


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except OSError:
        return False
    finally:
        connection.close()
