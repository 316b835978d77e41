"""
``POST /v1/chat/completions``.
"""

from __future__ import annotations

from uuid import uuid4

from attrs import define, evolve, field
from twisted.internet.interfaces import IReactorTime

from claudeproxy.core.catalog import Catalog
from claudeproxy.core.chat import ChatRequest
from claudeproxy.core.links import image_links
from claudeproxy.core.reasoning import Reasoning
from claudeproxy.core.relay import Refusal
from claudeproxy.core.routing import BackendName, Router, Step, parse_session_id
from claudeproxy.core.size import ConversationSize
from claudeproxy.interfaces import IChatBackend
from claudeproxy.ops.drain import Drain
from claudeproxy.ops.time_limits import TimeLimits
from claudeproxy.web.answers import json_answer
from claudeproxy.web.body import JSONBody, read_json
from claudeproxy.web.event_sinks import EventSink, FoldingSink
from claudeproxy.web.fallback import Walk, in_time
from claudeproxy.web.linked import LinkedPictures
from claudeproxy.web.passthrough import Passthrough, has_own_key
from claudeproxy.web.request import ProxyRequest
from claudeproxy.web.turn_headers import price
from claudeproxy.wire.openai_chat import (
    AnswerHead,
    ChatBody,
    CompletionFolder,
    Peek,
    StreamEncoder,
    decode_request,
    peek,
    with_model,
    without_thoughts,
)

__all__ = ["ChatRoute"]


@define(eq=False)
class ChatRoute:
    """
    Chat completions on every backend.
    """

    _backend: IChatBackend
    _passthrough: Passthrough
    _catalog: Catalog
    _router: Router
    _drain: Drain
    _clock: IReactorTime
    _keepalive_interval: float
    _limits: TimeLimits
    """That all backends of a chain have together."""
    _largest: ConversationSize
    """That Claude Code is given."""
    _linked: LinkedPictures
    _reasoning: Reasoning = field(init=False, default=Reasoning.CONTENT)

    def use(self, reasoning: str) -> None:
        """
        Have answers that begin from now on hold what the model thought in this place.
        """
        self._reasoning = Reasoning(reasoning)

    async def create(self, request: ProxyRequest) -> bytes | None:
        """
        Answer a chat request on the backend that its headers and its model choose, or on those of a chain.
        """
        body = await read_json(request, self._clock)
        peeked = peek(body.text)
        request.model = peeked.model
        steps = self._router.steps(
            claude_code=_text(request.header(b"X-Claude-Code")),
            session_id=request.session_header(),
            model=peeked.model,
            own_key=has_own_key(request),
        )
        if len(steps) > 1:
            walk = Walk(request, self._passthrough, self._clock, self._limits)
            return await walk.along(steps, lambda step, more: self._serve(request, body, peeked, step, more))
        answer = await self._serve(request, body, peeked, steps[0], hands_over=False)
        assert not isinstance(answer, Refusal), "nobody stood by"
        return answer

    async def _serve(
        self, request: ProxyRequest, body: JSONBody, peeked: Peek, step: Step, hands_over: bool
    ) -> bytes | Refusal | None:
        """
        Serve a request with one backend.

        :param hands_over: whether another backend stands by.
        """
        request.backend, request.upstream = step.backend, ""
        if step.backend is BackendName.CLAUDE:
            decoded = decode_request(body.text)
            self._largest.check(decoded.messages, decoded.system)
            chat = self._chat(request, decoded, step.model)
            # The backend's own timer begins when all pictures are there.
            linked = image_links(decoded.messages)
            return await (in_time(chat, request, self._limits, self._clock) if linked else chat)
        return await self._passthrough.relay(
            request,
            step.upstream,
            body.raw if step.model is None else with_model(body.text, step.model),
            decoded=body.encoded and step.model is not None,
            tee_usage=True,
            stream=peeked.stream,
            creates=peeked.stores,
            hands_over=hands_over,
        )

    async def _chat(self, request: ProxyRequest, body: ChatBody, model: str | None) -> bytes | None:
        """
        Serve a decoded request with the chat backend.

        :param model: the one to ask, in the place of the request's.
        """
        session_id = request.session_header()
        session = None if session_id is None else parse_session_id(session_id)
        backend_model = self._catalog.resolve(model or body.model)
        messages = await self._linked.fetched(body.messages, request.key.key_id)
        turn = ChatRequest(
            model=body.model,
            backend_model=backend_model,
            messages=without_thoughts(messages) if self._reasoning is Reasoning.THINK_TAGS else messages,
            system=body.system,
            tools=body.tools,
            settings=evolve(body.settings, show_reasoning=self._reasoning is not Reasoning.OFF),
            tenant=request.key.key_id,
            session_id=session,
            ignored=body.ignored,
        )
        request.attempts += 1
        head = self._head(body)
        if not body.stream:
            folder = CompletionFolder(head)
            await self._drain.track(self._backend.open(turn, FoldingSink(request, folder)))
            price(request)
            return json_answer(request, folder.body())
        encoder = StreamEncoder(head, body.include_usage)
        sink = EventSink(request, encoder, self._clock, self._keepalive_interval)
        await self._drain.track(self._backend.open(turn, sink))
        sink.end()
        return None

    def _head(self, body: ChatBody) -> AnswerHead:
        reasoning = self._reasoning
        if reasoning is Reasoning.THINK_TAGS and body.settings.format is not None:
            # The text must be JSON and nothing else.
            reasoning = Reasoning.CONTENT
        created = int(self._clock.seconds())
        return AnswerHead(f"chatcmpl-{uuid4().hex}", body.model, created, reasoning, body.legacy_calls)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
