"""
API keys from the configuration.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from claudeproxy.config import AuthConfig, Secret
from claudeproxy.core.access import KeyPolicy
from claudeproxy.interfaces import IKeyStore
from claudeproxy.store.keys import ConfiguredKeys

FIRST, SECOND = Secret("first"), Secret("second")


def test_it_is_a_key_store() -> None:
    """It provides what the web side asks for."""
    assert verifyObject(IKeyStore, ConfiguredKeys(AuthConfig()))


def test_no_keys() -> None:
    """Without keys the door is open, and a lookup still finds nothing."""
    keys = ConfiguredKeys(AuthConfig())

    assert (True, None) == (keys.is_open, keys.lookup(b""))


def test_the_policies_of_keys() -> None:
    """A key's id is the beginning of its digest, its name the setting that it came from; a key counts once."""
    keys = ConfiguredKeys(AuthConfig(api_key=FIRST, api_keys=(FIRST, SECOND)))

    assert not keys.is_open
    assert KeyPolicy("a7937b64b8caa58f", "API_KEY") == keys.lookup(b"first")
    assert KeyPolicy("16367aacb67a4a01", "API_KEYS#16367a") == keys.lookup(b"second")


@given(st.binary().filter(lambda presented: presented not in (b"first", b"second")))
def test_anything_else_is_no_key(presented: bytes) -> None:
    """Only the very bytes of a key are that key."""
    assert ConfiguredKeys(AuthConfig(api_keys=(FIRST, SECOND))).lookup(presented) is None
