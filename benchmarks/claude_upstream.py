"""
The stub of Anthropic's API as a program: ``python -m benchmarks.claude_upstream PORT``.
"""

from __future__ import annotations

import sys

from twisted.internet.defer import ensureDeferred

from claudeproxy.testing.anthropic import StubAnthropic


def main() -> None:
    """
    Serve until killed.
    """
    from twisted.internet import reactor

    ensureDeferred(StubAnthropic().listen(reactor, int(sys.argv[1])))
    reactor.run()


if __name__ == "__main__":
    main()
