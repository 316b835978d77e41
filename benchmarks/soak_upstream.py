"""
The stubs of both APIs as a program that can run for long: ``python -m benchmarks.soak_upstream PORT PORT``.
"""

from __future__ import annotations

import sys

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import LoopingCall

from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.openai import StubOpenAI


def main() -> None:
    """
    Serve until killed: Anthropic's API at the first port, OpenAI's at the second.
    """
    from twisted.internet import reactor

    stubs = (StubAnthropic(), StubOpenAI())
    for stub, port in zip(stubs, sys.argv[1:], strict=True):
        ensureDeferred(stub.listen(reactor, int(port)))
    # What they record is for tests.
    LoopingCall(lambda: [stub.requests.clear() for stub in stubs]).start(10.0, now=False)
    reactor.run()


if __name__ == "__main__":
    main()
