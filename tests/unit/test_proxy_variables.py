"""
Proxies that the environment asks for, and that are not used.
"""

from __future__ import annotations

import pytest

from claudeproxy.config import ConfigError, load
from claudeproxy.proxy_variables import check_proxy_variables

PROXY = "http://user:secret@proxy.example:3128"
REMOTE = {"OPENAI_API_KEY": "sk-x"}


@pytest.mark.parametrize(
    ("settings", "environ"),
    [
        (REMOTE, {"HTTPS_PROXY": PROXY}),
        (REMOTE, {"https_proxy": PROXY}),
        (REMOTE, {"ALL_PROXY": PROXY}),
        (REMOTE, {"HTTPS_PROXY": PROXY, "NO_PROXY": "example.org,localhost"}),
        ({"OPENAI_BASE_URL": "http://models.internal/v1"}, {"HTTP_PROXY": PROXY}),
    ],
)
def test_a_proxy_is_refused_aloud(settings: dict[str, str], environ: dict[str, str]) -> None:
    """The message names the variable and the ways out, and shows no password."""
    with pytest.raises(ConfigError) as raised:
        check_proxy_variables(load({}, settings), environ)

    assert str(raised.value).startswith(next(iter(environ)))
    assert "UPSTREAM_IGNORE_PROXY" in str(raised.value)
    assert "secret" not in str(raised.value)
    check_proxy_variables(load({}, {**settings, "UPSTREAM_IGNORE_PROXY": "true"}), environ)


@pytest.mark.parametrize(
    ("settings", "environ"),
    [
        (REMOTE, {}),
        (REMOTE, {"HTTPS_PROXY": ""}),
        (REMOTE, {"HTTP_PROXY": PROXY}),
        (REMOTE, {"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}),
        (REMOTE, {"HTTPS_PROXY": PROXY, "no_proxy": ".openai.com"}),
        ({}, {"HTTPS_PROXY": PROXY}),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:8000/v1"}, {"HTTP_PROXY": PROXY}),
        ({"OPENAI_BASE_URL": "http://localhost:8000/v1"}, {"ALL_PROXY": PROXY}),
        ({**REMOTE, "OPENAI_PASSTHROUGH_ENABLED": "false"}, {"HTTPS_PROXY": PROXY}),
    ],
)
def test_one_that_concerns_no_upstream(settings: dict[str, str], environ: dict[str, str]) -> None:
    """No upstream, another scheme, an exception, or a server on this machine."""
    check_proxy_variables(load({}, settings), environ)
