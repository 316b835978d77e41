"""
The clients in ``tests/clients/python``: where they are installed, and what a run of their cases shows.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from attrs import frozen
from twisted.internet.utils import getProcessOutputAndValue

from claudeproxy.testing.anthropic import StubAnthropic
from tests.helpers import real_cli
from tests.live.daemon import Daemon

__all__ = ["IMAGE", "Case", "Played", "environments", "play"]

IMAGE = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg=="
)
"""A PNG of four red pixels."""

_PROGRAMS = Path(__file__).parents[1] / "clients" / "python"

_EXTRAS = {"aider": "client-aider", "instructor": "client-instructor", "llama_index": "client-llama-index"}
"""The extra of setup.py that names a client, where it is not ``clients``: their requirements exclude each other."""


@frozen
class Case:
    """
    What one client is to do.
    """

    client: str
    name: str
    prompt: str

    @property
    def marked(self) -> str:
        """The prompt, with words that are in no other case's."""
        return f"This is {self.mark} {self.prompt}"

    @property
    def mark(self) -> str:
        """These words."""
        return f"case {self.client}-{self.name}:"


@frozen
class Played:
    """
    A case, seen from both ends; fails when its client met an exception.
    """

    _requests: Sequence[Any]
    _seen: Any = None
    _thrown: str = ""

    @property
    def seen(self) -> Any:
        """What the client saw."""
        assert not self._thrown, self._thrown
        return self._seen

    @property
    def requests(self) -> Sequence[Any]:
        """The bodies of the requests of it that the model's API took."""
        assert not self._thrown, self._thrown
        return self._requests


def environments() -> Path:
    """
    Return the directory with an environment for each extra; skip the module that asks where nobody has named it.
    """
    directory = os.environ.get("CLIENTS")
    if directory is None:
        pytest.skip("make clients installs the clients, and runs these", allow_module_level=True)
    return Path(directory).absolute()


async def play(reactor: Any, installed: Path, cases: Sequence[Case]) -> Mapping[Case, Played]:
    """
    Run cases of one client against a daemon with the real CLI, and the stub of Anthropic's API behind it.

    :param installed: the directory with the environments.
    """
    stub = await StubAnthropic().listen(reactor)
    settings = {
        "API_KEY": "secret",
        "ANTHROPIC_API_KEY": "sk-ant-test",
        "ANTHROPIC_BASE_URL": stub.url,
        "CLAUDE_PATH": real_cli(),
        "RATE_LIMIT_PER_IP": "0",
    }
    daemon = Daemon.start(reactor, settings)
    try:
        outcomes = await _outcomes(installed, cases, f"{await daemon.url()}/v1", "secret")
    finally:
        await daemon.kill()
        await stub.stop()
    taken = [request for request in stub.requests if request.status != 400]
    bodies = [(json.dumps(request.body), request.body) for request in taken]
    return {case: Played([body for text, body in bodies if case.mark in text], **outcomes[case.name]) for case in cases}


async def _outcomes(installed: Path, cases: Sequence[Case], url: str, key: str) -> Mapping[str, Mapping[str, Any]]:
    (client,) = {case.client for case in cases}
    prompts = {case.name: case.marked for case in cases}
    assert len(prompts) == len(cases), "a case has two prompts"
    python = installed / _EXTRAS.get(client, "clients") / "bin" / "python"
    arguments = [str(_PROGRAMS / f"{client}_client.py"), json.dumps(prompts)]
    with TemporaryDirectory() as home:
        image = Path(home, "image.png")
        image.write_bytes(IMAGE)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "LANG": "C.UTF-8",
            "BASE_URL": url,
            "API_KEY": key,
            "MODEL": "sonnet",
            "IMAGE": str(image),
            # Who calls home is refused at once, and does not wait for a network that may not be there.
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1",
        }
        out, err, _ = await getProcessOutputAndValue(str(python), arguments, env=environ)
    ended = {case.name: {"thrown": f"it did not come to this: {err.decode()}"} for case in cases}
    return ended | {line.pop("case"): line for line in map(json.loads, out.splitlines())}
