"""
``POST /v1/chat/completions``.
"""

from __future__ import annotations

from uuid import uuid4

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from claudeproxy.config import RoutingConfig
from claudeproxy.core.catalog import Catalog
from claudeproxy.core.chat import ChatRequest
from claudeproxy.core.routing import BackendName, choose, parse_session_id
from claudeproxy.interfaces import IChatBackend
from claudeproxy.ops.drain import Drain
from claudeproxy.web.answers import json_answer
from claudeproxy.web.body import read_json
from claudeproxy.web.passthrough import Passthrough
from claudeproxy.web.request import ProxyRequest
from claudeproxy.web.sink import EventSink, FoldingSink
from claudeproxy.wire.openai_chat import ChatBody, CompletionFolder, StreamEncoder, decode_request, peek

__all__ = ["ChatRoute"]


@frozen
class ChatRoute:
    """
    Chat completions on every backend.
    """

    _backend: IChatBackend
    _passthrough: Passthrough
    _catalog: Catalog
    _routing: RoutingConfig
    _drain: Drain
    _clock: IReactorTime
    _keepalive_interval: float

    async def create(self, request: ProxyRequest) -> bytes | None:
        """
        Answer a chat request on the backend that its headers and its model choose.
        """
        body = read_json(request)
        peeked = peek(body)
        request.model = peeked.model
        session_id = request.session_header()
        backend = choose(
            claude_code=_text(request.header(b"X-Claude-Code")),
            session_id=session_id,
            model=peeked.model,
            catalog=self._catalog,
            upstream_configured=self._passthrough.can_serve(request),
            route_claude_models=self._routing.route_claude_models,
        )
        request.backend = backend
        if backend is BackendName.UPSTREAM:
            await self._passthrough.relay(request, body, tee_usage=True, stream=peeked.stream)
            return None
        return await self._chat(request, decode_request(body), session_id)

    async def _chat(self, request: ProxyRequest, body: ChatBody, session_id: str | None) -> bytes | None:
        """
        Serve a decoded request with the chat backend.
        """
        turn = ChatRequest(
            model=body.model,
            backend_model=self._catalog.resolve(body.model),
            messages=body.messages,
            system=body.system,
            settings=body.settings,
            tenant=request.key.key_id,
            session_id=None if session_id is None else parse_session_id(session_id),
            ignored=body.ignored,
        )
        completion_id, created = f"chatcmpl-{uuid4().hex}", int(self._clock.seconds())
        if not body.stream:
            folder = CompletionFolder(completion_id, body.model, created)
            await self._drain.track(self._backend.open(turn, FoldingSink(request, folder)))
            return json_answer(request, folder.body())
        encoder = StreamEncoder(completion_id, body.model, created, body.include_usage)
        sink = EventSink(request, encoder, self._clock, self._keepalive_interval)
        await self._drain.track(self._backend.open(turn, sink))
        sink.end()
        return None


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
