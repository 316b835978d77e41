"""
``GET /v1/models``, in a shape that the clients of both dialects read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from attrs import frozen
from twisted.internet.defer import ensureDeferred

from claudeproxy.core.catalog import Catalog
from claudeproxy.core.routing import BackendName, Router, Step
from claudeproxy.errors import ModelNotFound
from claudeproxy.interfaces import IRelay
from claudeproxy.ops.drain import Drain
from claudeproxy.web.answers import json_answer
from claudeproxy.web.request import ProxyRequest

__all__ = ["ModelsRoute"]

Entry = dict[str, Any]

_encode = msgspec.json.Encoder().encode


@frozen
class ModelsRoute:
    """
    Claude's models, the names that stand for them, and the upstreams' own lists.
    """

    _relays: Mapping[str, IRelay]
    _catalog: Catalog
    _router: Router
    _drain: Drain
    _since: float
    """Seconds since the epoch; what is said about the age of names that have none."""

    async def index(self, request: ProxyRequest) -> bytes:
        """
        List all models. Neither dialect's client is to ask for a next page.
        """
        models = list((await self._models()).values())
        body = {
            "object": "list",
            "data": models,
            "has_more": False,
            "first_id": models[0]["id"] if models else None,
            "last_id": models[-1]["id"] if models else None,
        }
        return json_answer(request, _encode(body))

    async def one(self, request: ProxyRequest, model: str) -> bytes:
        """
        Describe one model; also a Claude model whose name is on no list.

        :raises ModelNotFound: nobody knows it.
        """
        known = (await self._models()).get(model)
        if known is None:
            if not self._catalog.is_claude(model):
                raise ModelNotFound(f"The model {model!r} does not exist.", param="model")
            known = self._claude(model)
        return json_answer(request, _encode(known))

    async def _models(self) -> dict[str, Entry]:
        """
        Merge the lists. Of entries with one name, that one counts whose backend would serve the name; what an upstream
        has and would not be asked for is not listed.
        """
        lists = await self._drain.track(ensureDeferred(self._lists()))
        models = {name: self._claude(name) for name in self._catalog.names()}
        ranks: dict[str, int] = {}
        for upstream, entries in zip(self._relays, lists, strict=True):
            for entry in entries:
                name = entry["id"]
                steps = self._router.by_name(name)
                rank = _rank(steps, upstream, name)
                if name not in ranks:
                    ranks[name] = _rank(steps, "", name) if name in models else len(steps)
                if rank < ranks[name]:
                    ranks[name] = rank
                    models[name] = self._upstreams(entry)
                elif steps[0].backend is BackendName.CLAUDE:
                    models.setdefault(name, self._upstreams(entry))
        return models

    async def _lists(self) -> list[tuple[Entry, ...]]:
        """
        Return the lists of all upstreams, which are asked at the same time.
        """
        lists = [relay.upstream_models() for relay in self._relays.values()]
        return [await entries for entries in lists]

    def _claude(self, name: str) -> Entry:
        return _entry(name, int(self._since), "anthropic")

    def _upstreams(self, entry: Entry) -> Entry:
        """
        Complete an entry of the upstream's; what else it says is kept.
        """
        created, owner = entry.get("created"), entry.get("owned_by")
        number = int(created) if isinstance(created, int | float) and 0 <= created < 2**33 else int(self._since)
        return {**_entry(entry["id"], number, owner if isinstance(owner, str) else "upstream"), **_told(entry)}


def _rank(steps: Sequence[Step], upstream: str, model: str) -> int:
    """
    Return at which step a backend is asked for the model under its own name; beyond the last when it is not.

    :param upstream: empty for Claude Code, which knows a model by several names.
    """
    ranks = (rank for rank, step in enumerate(steps) if step.upstream == upstream)
    return next((rank for rank in ranks if not upstream or steps[rank].model in (None, model)), len(steps))


def _entry(name: str, created: int, owner: str) -> Entry:
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": owner,
        "type": "model",
        "display_name": name,
        "created_at": datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _told(entry: Entry) -> Entry:
    """
    Return what an upstream's entry says beyond what every entry has.
    """
    return {key: value for key, value in entry.items() if key not in ("id", "object", "created", "owned_by", "type")}
