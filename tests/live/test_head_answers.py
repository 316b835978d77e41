"""
Clients that send bodies that nobody wants.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from tempfile import gettempdir

import pytest_twisted
from twisted.internet.defer import ensureDeferred, gatherResults

from claudeproxy.config import ServerConfig
from tests.live.whole import Whole, request
from tests.memory.wire import Answer

Make = Callable[..., Whole]


def temporary_files() -> int:
    """How many files without a name this process has open below the directory of temporary files."""
    count = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        count += path.startswith(gettempdir()) and path.endswith("(deleted)")
    return count


@pytest_twisted.ensureDeferred
async def test_bodies_of_clients_without_a_key(whole: Make) -> None:
    """Each is answered while it sends, reads why, and leaves nothing: no memory, no file."""
    gateway = whole(server=ServerConfig(max_body_bytes=64 * 1024 * 1024))
    before = temporary_files()
    most = 0

    async def send() -> Answer:
        nonlocal most
        client = await gateway.client()
        sent = request("POST", "/v1/files", headers={"Content-Length": "33554432"})
        client.send(sent.replace(b"Authorization: Bearer", b"X-Nothing:"))
        for _ in range(64):
            client.send(bytes(512 * 1024))
        answer = await client.answer()
        most = max(most, temporary_files() - before, gateway.house.site.bodies.used)
        await client.leave()
        return answer

    answers = await gatherResults([ensureDeferred(send()) for _ in range(8)])

    assert [(401, "missing_api_key")] * 8 == [(each.status, each.error["code"]) for each in answers]
    assert most == 0
