"""
Many readers of streams: ``python -m benchmarks.stream_client PORT STREAMS CHUNKS SECONDS PID``.

Opens all streams, and when every one has begun, watches for some seconds: how late chunks come, what the process in
the middle uses. Then it reads all streams to their end and prints what it saw as JSON.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from array import array

from benchmarks.processes import cpu_seconds, resident_bytes
from benchmarks.servers import KEY

_BODY = b'{"model":"gpt-4o","stream":true,"max_tokens":%d,"messages":[{"role":"user","content":"Say hello, please."}]}'
_REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b"
)
_CHUNK = re.compile(rb'"n":(\d+),"t":(\d+)\}\n\n')


class Tally:
    """
    What all readers saw.
    """

    def __init__(self, streams: int, chunks: int) -> None:
        self.delays: array[int] | None = None
        """Nanoseconds, while somebody watches."""
        self.begun = 0
        self.ended = 0
        self.received = 0
        self.out_of_order = 0
        self.streams = streams
        self.chunks = chunks
        self.all_begun = asyncio.Event()
        self.all_ended = asyncio.Event()


class Reader(asyncio.Protocol):
    """
    One stream.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._expected = 0
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        body = _BODY % self._tally.chunks
        transport.write(_REQUEST % (KEY.encode(), len(body), body))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        tally = self._tally
        data = self._rest + data
        end = 0
        for found in _CHUNK.finditer(data):
            end = found.end()
            if tally.delays is not None:
                tally.delays.append(now - int(found[2]))
            if int(found[1]) != self._expected:
                tally.out_of_order += 1
            if not self._expected:
                tally.begun += 1
                if tally.begun == tally.streams:
                    tally.all_begun.set()
            self._expected = int(found[1]) + 1
            tally.received += 1
        if b"data: [DONE]" in data:
            tally.ended += 1
            if tally.ended == tally.streams:
                tally.all_ended.set()
            data = b""
        self._rest = data[end:]


async def watch(port: int, streams: int, chunks: int, seconds: float, pid: int) -> dict[str, object]:
    """
    Read all streams; see the module.
    """
    loop = asyncio.get_running_loop()
    tally = Tally(streams, chunks)
    transports = []
    for _ in range(streams):
        transport, _ = await loop.create_connection(lambda: Reader(tally), "127.0.0.1", port)
        transports.append(transport)
    await asyncio.wait_for(tally.all_begun.wait(), 30)
    await asyncio.sleep(1)
    tally.delays = array("q")
    received, cpu, own = tally.received, cpu_seconds(pid), time.process_time()
    begun = time.monotonic()
    await asyncio.sleep(seconds)
    watched, cpu, own = time.monotonic() - begun, cpu_seconds(pid) - cpu, time.process_time() - own
    received, delays, memory = tally.received - received, sorted(tally.delays), resident_bytes(pid)
    tally.delays = None
    await asyncio.wait_for(tally.all_ended.wait(), 120)
    for transport in transports:
        transport.close()
    return {
        "chunks per second": received / watched,
        "cpu per chunk": cpu / received,
        "delay p50": delays[len(delays) // 2] / 1e9,
        "delay p99": delays[len(delays) * 99 // 100] / 1e9,
        "memory": memory,
        "client cpu": own / watched,
        "lost": streams * chunks - tally.received,
        "out of order": tally.out_of_order,
    }


if __name__ == "__main__":
    port, streams, chunks, seconds, pid = map(int, sys.argv[1:6])
    print(json.dumps(asyncio.run(watch(port, streams, chunks, seconds, pid))))
