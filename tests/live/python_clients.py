"""
The programs of ``tests/clients/python``, each in the environment that has its client.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from twisted.internet.utils import getProcessOutputAndValue

__all__ = ["IMAGE", "Programs", "environments"]

IMAGE = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg=="
)
"""A PNG of four red pixels."""

_PROGRAMS = Path(__file__).parents[1] / "clients" / "python"

_EXTRAS = {"aider": "client-aider", "instructor": "client-instructor", "llama_index": "client-llama-index"}
"""The extra of setup.py that has a client, where that is not ``clients``: their pins exclude each other's."""


def environments() -> Path:
    """
    Return the directory with an environment for each extra; skip the test where nobody has made them.
    """
    directory = os.environ.get("CLIENTS")
    if directory is None:
        pytest.skip("make clients installs the clients and runs these")
    return Path(directory)


@frozen
class Programs:
    """
    Runs the clients against one daemon.
    """

    url: str
    """The daemon's."""
    home: Path
    """Where a client may leave what it likes."""
    key: str = "any"

    async def run(self, client: str, case: str, prompt: str) -> Any:
        """
        Run one case and return what the client saw.
        """
        image = self.home / "image.png"
        image.write_bytes(IMAGE)
        python = environments() / _EXTRAS.get(client, "clients") / "bin" / "python"
        program = _PROGRAMS / f"{client}_client.py"
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "BASE_URL": f"{self.url}/v1",
            "API_KEY": self.key,
            "MODEL": "sonnet",
            "PROMPT": prompt,
            "IMAGE": str(image),
            # Whoever calls home is refused at once, and does not wait for a network that may not be there.
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1",
        }
        out, err, code = await getProcessOutputAndValue(str(python), [str(program), case], env=environ)
        assert code == 0, err.decode()
        return json.loads(out)
