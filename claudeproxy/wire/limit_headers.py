"""
The headers that tell a client how near the rate limits are.
"""

from __future__ import annotations

from math import ceil

from claudeproxy.core.limits import Standing

__all__ = ["go_duration", "limit_lines", "openai_limit_lines"]


def limit_lines(standing: Standing, now: float) -> bytes:
    """
    Return the header lines ``X-RateLimit-*``, ready to be sent.

    :param now: seconds since the epoch.
    """
    return b"X-RateLimit-Limit: %d\r\nX-RateLimit-Remaining: %d\r\nX-RateLimit-Reset: %d\r\n" % (
        standing.limit,
        standing.remaining,
        ceil(now + standing.reset),
    )


def openai_limit_lines(standing: Standing) -> bytes:
    """
    Return the same under OpenAI's names.
    """
    return (
        b"x-ratelimit-limit-requests: %d\r\nx-ratelimit-remaining-requests: %d\r\nx-ratelimit-reset-requests: %b\r\n"
    ) % (standing.limit, standing.remaining, go_duration(standing.reset).encode("ascii"))


def go_duration(seconds: float) -> str:
    """
    Write a span of time as Go does and OpenAI with it: ``1m30s``, ``12ms``; rounded up, to seconds from one on.
    """
    if seconds < 1:
        milliseconds = ceil(seconds * 1000)
        if milliseconds < 1000:
            return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, whole = divmod(ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{whole}s"
    return f"{minutes}m{whole}s" if minutes else f"{whole}s"
