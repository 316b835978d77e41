"""
Which failures are worth another try, here or elsewhere, and after how long.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from attrs import frozen

from claudeproxy.errors import ClaudeProxyError, ServerShuttingDown

__all__ = ["FAILING", "UNWELL", "Backoff", "hands_over", "may_do_better", "retry_after"]

FAILING = frozenset({429, 500, 502, 503, 504, 529})
"""Statuses of an upstream that another try at the same one may not answer with."""

UNWELL = frozenset({502, 503, 504, 520, 521, 522, 523, 524, 529})
"""Those that say that the upstream as a whole is not well; 520 to 524 are those of a proxy that cannot reach it. A 429
may be about one key, a 500 about one odd request."""

_FIRST = 0.25
"""Seconds that the first wait takes at most; each further one may take twice as long."""


@frozen
class Backoff:
    """
    How long to wait before another try.
    """

    longest: float
    """Seconds."""

    def wait(self, retries: int, asked: float | None, random: float) -> float | None:
        """
        Return the seconds to wait, or None when the wait that was asked for is too long.

        The jitter is full: any wait up to the bound is as likely as any other, so that those who failed together do
        not come back together.

        :param retries: how many there were before.
        :param asked: the seconds that ``Retry-After`` asks for, or None.
        :param random: from 0 to 1.
        """
        if asked is not None and asked > self.longest:
            return None
        return max(asked or 0.0, random * min(self.longest, _FIRST * 2.0**retries))


def retry_after(value: str, now: float) -> float | None:
    """
    Read ``Retry-After``: return its seconds, or None when it says nothing that can be read.

    :param now: seconds since the epoch, for a value that is a date.
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def hands_over(error: ClaudeProxyError) -> bool:
    """
    Whether another backend may do better than the one that failed with ``error``.
    """
    return may_do_better(error.status) and not isinstance(error, ServerShuttingDown)


def may_do_better(status: int) -> bool:
    """
    Whether another backend may do better than one that answers with ``status``.
    """
    return status == 429 or status >= 500
