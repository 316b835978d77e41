"""
The ``Idempotency-Key``, and what makes two requests the same one.
"""

from __future__ import annotations

from itertools import combinations

import pytest

from claudeproxy.core.idempotency import fingerprint, read_key
from claudeproxy.errors import InvalidHeaderValue

PATH = b"/chat/completions"
Headers = list[tuple[bytes, list[bytes]]]


@pytest.mark.parametrize("key", [b"a", b'"8e03978e-40d5-43dd-bc93-6894a57f9324"', b"~ !", b"x" * 255])
def test_a_key(key: bytes) -> None:
    """A key is up to 255 printable characters, also when its line comes twice."""
    assert key == read_key([key])
    assert key == read_key([key, key])


@pytest.mark.parametrize("values", [[b""], [b"x" * 256], [b"\xc3\xa9"], [b"a\tb"], [b"a\x7f"], [b"a", b"b"]])
def test_what_is_no_key(values: list[bytes]) -> None:
    """Anything else is refused with the name of the header and what it may be."""
    with pytest.raises(InvalidHeaderValue, match="Idempotency-Key must be one value of 1 to 255 printable") as raised:
        read_key(values)

    assert "Idempotency-Key" == raised.value.param


def test_the_same_request() -> None:
    """How a client spells or orders its headers makes no other request, and what does not steer is not looked at."""
    first: Headers = [(b"X-Claude-Code", [b"yes"]), (b"X-Session-ID", [b"1"]), (b"User-Agent", [b"a"])]
    again: Headers = [(b"x-session-id", [b"1"]), (b"X-Request-Id", [b"2"]), (b"x-claude-code", [b"yes"])]

    assert fingerprint(PATH, first, b"{}") == fingerprint(PATH, again, b"{}")


def test_other_requests() -> None:
    """Another body, query, or header that chooses backend, session or credentials makes another request."""
    requests: list[tuple[bytes, Headers, bytes]] = [
        (PATH, [], b"{}"),
        (PATH, [], b"{ }"),
        (PATH + b"?a=b", [], b"{}"),
        (PATH, [(b"X-Claude-Code", [b"yes"])], b"{}"),
        (PATH, [(b"X-Claude-Code", [b"no"])], b"{}"),
        (PATH, [(b"X-Claude-Session-Id", [b"1"])], b"{}"),
        (PATH, [(b"X-Session-Id", [b"1"])], b"{}"),
        (PATH, [(b"X-Openai-Api-Key", [b"1"])], b"{}"),
        (PATH, [(b"X-Claude-Agent", [b"1"])], b"{}"),
        (PATH, [(b"X-Claude-Agent", [b"1", b"1"])], b"{}"),
        (PATH, [], b"x-claude-agent:1\n{}"),
        (PATH, [], b"\n{}"),
    ]

    assert [] == [pair for pair in combinations(requests, 2) if fingerprint(*pair[0]) == fingerprint(*pair[1])]
