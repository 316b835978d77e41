"""
Chat completions on a live backend: all of the way from the request's JSON to the answer's, but HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from attrs import frozen

from claudeproxy.core.catalog import Catalog
from claudeproxy.core.chat import ChatRequest
from claudeproxy.core.events import StreamEvent, ToolCallDelta, ToolCallStarted
from claudeproxy.testing.stub import RecordedRequest
from claudeproxy.wire.openai_chat import AnswerHead, CompletionFolder, decode_request
from tests.live.claude import LiveBackend, RecordingSink
from tests.live.odd import JSON

__all__ = ["Completion", "cli_session", "complete"]

_CATALOG = Catalog({}, "sonnet")
_SECONDS = 60.0


@frozen
class Completion:
    """
    A whole answer.
    """

    message: JSON
    """As Chat Completions has it."""
    calls: list[JSON]
    """The same calls with their ids, which the older form leaves out."""
    session_id: str
    ignored: tuple[str, ...]


async def complete(live: LiveBackend, body: JSON, *, tenant: str, session_id: str | None = None) -> Completion:
    """
    Serve a request as ``POST /v1/chat/completions`` does.

    :param session_id: the session that the client names, if it does.
    """
    decoded = decode_request(json.dumps(body, ensure_ascii=False).encode())
    request = ChatRequest(
        model=decoded.model,
        backend_model=_CATALOG.resolve(decoded.model),
        messages=decoded.messages,
        system=decoded.system,
        tools=decoded.tools,
        settings=decoded.settings,
        tenant=tenant,
        session_id=session_id,
        ignored=decoded.ignored,
    )
    sink = RecordingSink()
    await live.backend.open(request, sink).addTimeout(_SECONDS, live.clock)
    folder = CompletionFolder(AnswerHead("chatcmpl-1", decoded.model, 1, legacy_calls=decoded.legacy_calls))
    for event in sink.events:
        folder.add(event)
    assert sink.head is not None
    message = json.loads(folder.body())["choices"][0]["message"]
    return Completion(message, _calls(sink.events), sink.head.session_id, sink.head.ignored)


def _calls(events: Iterable[StreamEvent]) -> list[JSON]:
    calls: list[JSON] = []
    for event in events:
        if isinstance(event, ToolCallStarted):
            calls.append({"id": event.call_id, "type": "function", "function": {"name": event.name, "arguments": ""}})
        elif isinstance(event, ToolCallDelta):
            calls[event.index]["function"]["arguments"] += event.arguments
    for call in calls:
        call["function"]["arguments"] = call["function"]["arguments"] or "{}"
    return calls


def cli_session(recorded: RecordedRequest) -> str:
    """
    The id of the CLI's own session that sent a request to the API; each process has its own.
    """
    found: str = json.loads(recorded.body["metadata"]["user_id"])["session_id"]
    return found
