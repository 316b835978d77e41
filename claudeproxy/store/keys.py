"""
API keys from the configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from hmac import compare_digest

from zope.interface import implementer

from claudeproxy.config import AuthConfig
from claudeproxy.core.access import KeyPolicy, key_digest
from claudeproxy.interfaces import IKeyStore

__all__ = ["ConfiguredKeys"]

_ID_LENGTH = 16
"""Hexadecimal digits of a key's digest that make its id."""
_SHOWN = 6
"""Of them, those that its name has."""


@implementer(IKeyStore)
class ConfiguredKeys:
    """
    An ``IKeyStore`` of ``API_KEY`` and ``API_KEYS``.

    Keys are found by their SHA-256, so that how long a lookup takes says nothing about how near a guess came: whoever
    could steer the digest of a guess would have found the key by other means.
    """

    def __init__(self, auth: AuthConfig) -> None:
        self.use(auth)

    def use(self, auth: AuthConfig) -> None:
        """
        Know these keys from now on, and no others.
        """
        policies: dict[bytes, tuple[bytes, KeyPolicy]] = {}
        for name, key in _named_keys(auth):
            digest = key_digest(key.encode())
            policies.setdefault(digest, (digest, KeyPolicy(digest.hex()[:_ID_LENGTH], name)))
        self._policies = policies

    @property
    def is_open(self) -> bool:
        """
        Whether there is no key at all.
        """
        return not self._policies

    def lookup(self, presented: bytes) -> KeyPolicy | None:
        """
        See ``IKeyStore``.
        """
        digest = key_digest(presented)
        known, policy = self._policies.get(digest, (b"", None))
        return policy if compare_digest(known, digest) else None


def _named_keys(auth: AuthConfig) -> Iterator[tuple[str, str]]:
    """
    Pair each key with what a log can say about it: the setting that it came from.
    """
    if auth.api_key is not None:
        yield "API_KEY", auth.api_key.value
    for key in auth.api_keys:
        if key != auth.api_key:
            # Not by its place in the list, which is another one when the list has changed.
            yield f"API_KEYS#{key_digest(key.value.encode()).hex()[:_SHOWN]}", key.value
