"""
What a key stands for.
"""

from __future__ import annotations

from claudeproxy.core.access import OPEN_DOOR, KeyPolicy, key_digest


def test_the_open_door_has_no_name() -> None:
    """Where no key exists, everybody is the same tenant."""
    assert KeyPolicy("", "") == OPEN_DOOR


def test_a_digest_does_not_show_the_key() -> None:
    """What is kept of a key is its SHA-256."""
    assert "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" == key_digest(b"test").hex()
