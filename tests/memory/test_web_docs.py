"""
The API's description, served.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

import msgspec
import pytest

from claudeproxy import __version__
from claudeproxy.config import UpstreamConfig
from claudeproxy.wire.openapi import answers
from tests.memory.wire import House


@pytest.mark.parametrize("path", ["/openapi.json", "/v1/openapi.json", "//openapi.json/?pretty"])
def test_the_document(house: House, path: str) -> None:
    """Anyone can have the OpenAPI document, however its path is written."""
    answer = house.ask("GET", path, key=None)

    assert (200, "application/json") == (answer.status, answer.headers["content-type"])
    assert ("3.1.0", __version__) == (answer.json["openapi"], answer.json["info"]["version"])
    assert "default-src 'none'" == answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/docs", "/v1/docs", "/docs/"])
def test_the_page(house: House, path: str) -> None:
    """Anyone can read the page; its policy allows its one style sheet and nothing else."""
    answer = house.ask("GET", path, key=None)

    assert (200, "text/html; charset=utf-8") == (answer.status, answer.headers["content-type"])
    (style,) = re.findall(rb"<style>(.*?)</style>", answer.body, re.DOTALL)
    allowed = f"style-src 'sha256-{b64encode(sha256(style).digest()).decode()}'"
    assert answer.headers["content-security-policy"].startswith(f"default-src 'none'; {allowed}; ")
    assert 1 == answer.names.count("Content-Security-Policy")
    assert ("nosniff", "DENY") == (answer.headers["x-content-type-options"], answer.headers["x-frame-options"])


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
def test_only_to_be_read(house: House, path: str) -> None:
    """HEAD tells the length of what GET gives, and other methods are refused."""
    whole, head = house.ask("GET", path), house.ask("HEAD", path, key=None)

    assert (200, b"") == (head.status, head.body)
    assert str(len(whole.body)) == head.headers["content-length"]
    assert (405, "GET, HEAD, OPTIONS") == ((refused := house.ask("POST", path)).status, refused.headers["allow"])


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", answers.Root),
        ("/health", answers.Health),
        ("/health/live", answers.Live),
        ("/health/ready", answers.Ready),
        ("/v1/models", answers.ModelList),
        ("/v1/models/sonnet", answers.Model),
    ],
)
def test_the_answers_are_as_declared(house: House, path: str, kind: type[msgspec.Struct]) -> None:
    """An answer has what the document declares, and nothing else."""
    answer = house.ask("GET", path)

    assert msgspec.to_builtins(msgspec.json.decode(answer.body, type=kind)) == answer.json


def test_every_route_is_described() -> None:
    """The document has every route but the passthrough's, with its methods, and says which ask for no key."""
    house = House(upstream=UpstreamConfig())
    described = house.ask("GET", "/openapi.json").json["paths"]
    rules = {rule.rule for rule in house.app.routes.klein.url_map.iter_rules()} - {"/<path:rest>"}

    assert {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule) for rule in rules} == {
        path.removeprefix("/v1") for path in described
    }
    for path, item in described.items():
        allowed = house.ask("OPTIONS", path.replace("{", "").replace("}", "")).headers["allow"].split(", ")
        assert {method.upper() for method in item} == set(allowed) - {"HEAD", "OPTIONS"}
        public = path.removeprefix("/v1") in house.app.routes.public_paths
        assert all(public == (operation.get("security") == []) for operation in item.values())
