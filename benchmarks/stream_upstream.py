"""
An upstream that streams: ``python -m benchmarks.stream_upstream PORT RATE``.

Every request is answered with a stream of ``max_tokens`` small chunks at a steady rate, each with a number and the time
at which it was written. Timers and sockets only: nothing of Twisted, which is under test.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_EVENT = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1767225600,"model":"gpt-4o",'
    b'"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}],"n":%d,"t":%d}\n\n'
)


class Upstream(asyncio.Protocol):
    """
    One connection.
    """

    transport: asyncio.Transport

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        self._chunks = 0
        self._sent = 0
        self._due = 0.0
        self._request = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._request += data
        if not self._request.endswith(b"}"):
            return
        self._chunks = json.loads(self._request.partition(b"\r\n\r\n")[2])["max_tokens"]
        self._request, self._sent = b"", 0
        self.transport.write(_HEAD)
        self._due = asyncio.get_running_loop().time() + random.random() * self._interval
        self._next()

    def _next(self) -> None:
        loop = asyncio.get_running_loop()
        if self.transport.is_closing():
            return
        if self._sent == self._chunks:
            self.transport.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
            return
        event = _EVENT % (self._sent, time.monotonic_ns())
        self.transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        self._sent += 1
        self._due += self._interval
        loop.call_at(self._due, self._next)


async def serve(port: int, rate: float) -> None:
    """
    Serve until killed.
    """
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(rate), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
