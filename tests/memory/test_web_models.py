"""
The list of models.
"""

from __future__ import annotations

import pytest

from claudeproxy.config import RoutingConfig
from tests.memory.wire import House

UPSTREAM = (
    {"id": "gpt-4o", "object": "model", "created": 1715367049, "owned_by": "system"},
    {"id": "deep/seek", "context_length": 64000, "created": None},
    {"id": "sonnet", "created": 1, "owned_by": "them"},
)


def test_the_list(house: House) -> None:
    """One shape serves both dialects' clients: Claude's names, what stands for them, and the upstream's models."""
    house.relay.models = UPSTREAM
    body = house.ask("GET", "/v1/models").json

    entries = {entry["id"]: entry for entry in body["data"]}
    assert ("list", False) == (body["object"], body["has_more"])
    assert (body["data"][0]["id"], body["data"][-1]["id"]) == (body["first_id"], body["last_id"])
    assert {"sonnet", "opus", "haiku", "gpt-4o", "gpt-4o-mini", "deep/seek"} <= set(entries)
    assert len(entries) == len(body["data"])
    for entry in body["data"]:
        assert ("model", "model") == (entry["object"], entry["type"])
        assert isinstance(entry["created"], int)
        assert {"owned_by", "display_name", "created_at"} <= set(entry)
    assert ("system", 1715367049, "2024-05-10T18:50:49Z") == tuple(
        entries["gpt-4o"][key] for key in ("owned_by", "created", "created_at")
    )
    assert (64000, "anthropic") == (entries["deep/seek"]["context_length"], entries["sonnet"]["owned_by"])


def test_whose_entry_counts() -> None:
    """A name that both have is described by the backend that would serve it."""
    house = House(routing=RoutingConfig(route_claude_models=False))
    house.relay.models = UPSTREAM

    assert "them" == house.ask("GET", "/v1/models/sonnet").json["owned_by"]


@pytest.mark.parametrize("name", ["sonnet", "gpt-4o-mini", "deep/seek", "claude-brand-new-9"])
def test_one_model(house: House, name: str) -> None:
    """One model has the entry of the list; a full Claude id has one although it is on no list."""
    house.relay.models = UPSTREAM

    for spelled in (name, name.replace("/", "%2F")):
        assert name == house.ask("GET", f"/v1/models/{spelled}").json["id"]


def test_an_unknown_model(house: House) -> None:
    """A model that nobody has is 404."""
    answer = house.ask("GET", "/v1/models/nope")

    assert (404, "model_not_found", "model") == (answer.status, answer.error["code"], answer.error["param"])
