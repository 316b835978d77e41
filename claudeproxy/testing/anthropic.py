"""
A stub of Anthropic's Messages API, for the real Claude Code CLI and for everything else that speaks it.

It answers with canned words, does what :mod:`claudeproxy.testing.directives` in the last user text ask for, and records
every request.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve

from claudeproxy.testing.bodies import MessagesBody, blocks_of, misread
from claudeproxy.testing.canned import bounded, canned_answer, count_tokens, cut
from claudeproxy.testing.directives import Directive
from claudeproxy.testing.instances import BadSchema, instance
from claudeproxy.testing.pacing import Headers, silent, streamed, whole
from claudeproxy.testing.playing import RawAnswer, json_bytes
from claudeproxy.testing.strictness import asked, refusal, signature, words_against
from claudeproxy.testing.stub import RecordedRequest, Stub

__all__ = ["StubAnthropic"]

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}

_REMINDER = "<system-reminder>"
"""How a text begins that the CLI or the gateway, not the user, put into a user message."""

_CALLED = re.compile(r"\bcall(?: of)? the function ([\w.-]+?)\.(?:\s|$)", re.IGNORECASE)
_ANY_CALL = "Call at least one function."
"""How a model is asked for what it cannot be forced to."""


class StubAnthropic(Stub):
    """
    Serves ``POST /v1/messages``, streaming and not, and ``/v1/messages/count_tokens``; any GET or HEAD gets a 200.

    :param every: seconds between deltas when no directive says.
    """

    def __init__(self, every: float = 0.0) -> None:
        super().__init__()
        self._every = every

    def answer(self, request: RecordedRequest) -> RawAnswer:
        """
        Answer as the API would.
        """
        serial = len(self.requests)
        headers = ((b"request-id", b"req_stub_%08d" % serial),)
        if request.method in ("GET", "HEAD"):
            return RawAnswer.json({"data": [], "has_more": False}, headers=headers)
        if wrong := misread(request.body, MessagesBody):
            return _error(400, wrong, headers)
        if request.path.endswith("/count_tokens"):
            return RawAnswer.json({"input_tokens": sum(_input_tokens(request.body))}, headers=headers)
        if not request.path.endswith("/messages"):
            return _error(404, "Not found", headers)
        return self._message(request, serial, headers)

    def _message(self, request: RecordedRequest, serial: int, headers: Headers) -> RawAnswer:
        texts = _results(request.body["messages"]) or _user_texts(request.body["messages"])
        directive = Directive.parse(texts[-1] if texts else "")
        if directive.mute:
            return silent()
        if directive.status is not None:
            retry = directive.retry_after
            more = ((b"retry-after", retry.encode()),) if retry else ()
            told = (*headers, *more, *_usage_headers(directive))
            return _error(directive.status, directive.message or "as directed", told, directive.delay)
        wrong = refusal(request.body, strict=self.strict)
        if wrong is not None:
            return _error(400, wrong, headers)
        if directive.refuse is not None and directive.refuse in asked(request.body):
            return _error(400, directive.message or words_against(directive.refuse), headers)
        try:
            directive = _in_form(directive, request.body)
        except BadSchema as error:
            return _error(400, str(error), headers)
        words = () if _only_calls(directive) else cut(directive, canned_answer("the Anthropic API", texts))
        limit, stops = request.body.get("max_tokens"), request.body.get("stop_sequences") or ()
        directive, kept = bounded(directive, words, limit, stops)
        message = _Message(request.body, directive, kept, f"msg_stub_{serial:08d}")
        request.usage = message.usage
        limits = (*_limit_headers(), *_usage_headers(directive))
        if not request.body.get("stream"):
            value = message.value()
            return whole(directive, headers=(*headers, *limits), value=value, deltas=len(kept), every=self._every)
        return streamed(
            directive,
            headers=(*headers, *limits),
            opening=message.opening(),
            deltas=message.deltas(),
            closing=message.closing(),
            error=_event("error", error={"type": "overloaded_error", "message": directive.message or "Overloaded"}),
            every=self._every,
        )


class _Message:
    """
    One answer in the API's form, whole or as events.
    """

    def __init__(self, body: Mapping[str, Any], directive: Directive, words: Sequence[str], id: str) -> None:
        fresh, written, read = _input_tokens(body)
        self._signature = signature(body)
        self._directive = directive
        self._words = words
        self._thoughts = cut(Directive(text=directive.thinking), "") if directive.thinking else ()
        self._calls = [(f"toolu_{id}_{number}", *call) for number, call in enumerate(directive.calls)]
        self._stop = "tool_use" if self._calls and directive.stop == "end_turn" else directive.stop
        self._sequence = next(iter(body.get("stop_sequences") or ()), None) if self._stop == "stop_sequence" else None
        refused = {"type": "refusal", "category": None, "explanation": directive.explanation}
        why = refused if self._stop == "refusal" else None
        self._ending = {"stop_reason": self._stop, "stop_sequence": self._sequence, "stop_details": why}
        self._head = {"id": id, "type": "message", "role": "assistant", "model": body.get("model")}
        self._input = {
            "input_tokens": fresh,
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": read,
            "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
            "service_tier": "standard",
        }
        thought = count_tokens(directive.thinking or "")
        details = {"output_tokens_details": {"thinking_tokens": thought}} if thought else {}
        self.usage = {**self._input, "output_tokens": sum(map(count_tokens, words)) + thought, **details}

    def value(self) -> dict[str, Any]:
        """
        Return the whole message.
        """
        content: list[dict[str, Any]] = [{"type": "text", "text": "".join(self._words)}] if self._words else []
        if self._directive.thinking:
            content.insert(0, {"type": "thinking", "thinking": self._directive.thinking, "signature": self._signature})
        for call_id, name, arguments in self._calls:
            value = json.loads(arguments or "{}")
            content.append({"type": "tool_use", "id": call_id, "name": name, "input": value})
        return {**self._head, "content": content, **self._ending, "usage": self.usage}

    def opening(self) -> Iterator[bytes]:
        """
        Yield what comes before the first delta.
        """
        ending = {"stop_reason": None, "stop_sequence": None}
        usage = {**self._input, "output_tokens": 1}
        yield _event("message_start", message={**self._head, "content": [], **ending, "usage": usage})

    def deltas(self) -> Iterator[Sequence[bytes]]:
        """
        Yield the events of each delta, with those that begin and end the content blocks: thinking, text, calls.
        """
        pending: tuple[bytes, ...] = ()
        for index, (block, pieces, last) in enumerate(self._blocks()):
            pending += (_event("content_block_start", index=index, content_block=block),)
            if index == 0:
                pending += (_event("ping"),)
            for piece in pieces:
                yield (*pending, _delta(index, **piece))
                pending = ()
            if last:
                pending += (_delta(index, **last),)
            pending += (_event("content_block_stop", index=index),)
        yield pending

    def closing(self) -> Iterator[bytes]:
        """
        Yield what comes after the last delta.
        """
        yield _event("message_delta", delta=self._ending, usage=self.usage)
        yield _event("message_stop")

    def _blocks(self) -> Iterator[tuple[dict[str, Any], Iterable[dict[str, str]], dict[str, str] | None]]:
        """
        Yield each block as it begins, the deltas of its words, and a last delta.
        """
        if self._directive.thinking:
            thoughts = [{"type": "thinking_delta", "thinking": thought} for thought in self._thoughts]
            yield _THINKING, thoughts, {"type": "signature_delta", "signature": self._signature}
        if self._words or not self._calls:
            yield _TEXT, [{"type": "text_delta", "text": word} for word in self._words], None
        for call_id, name, arguments in self._calls:
            pieces = [arguments[: len(arguments) // 2], arguments[len(arguments) // 2 :]]
            block = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
            yield block, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces if piece], None


def _in_form(directive: Directive, body: Mapping[str, Any]) -> Directive:
    """
    Have the stub answer as the request forces a model to, or asks it to: by an object, or by a call.
    """
    offered = {tool["name"]: tool.get("input_schema") or {} for tool in body.get("tools") or ()}
    told = directive.text or ""
    name = _forced(body, offered) or (_wanted(body, offered) if told.startswith("{") or not told else None)
    if name is not None and not directive.calls:
        arguments = told if told.startswith("{") else _dumped(instance(offered[name]))
        return evolve(directive, text=None, calls=((name, arguments),))
    format = (body.get("output_config") or {}).get("format")
    if format and directive.text is None and not directive.calls:
        return evolve(directive, text=_dumped(instance(format.get("schema") or {})))
    return directive


def _forced(body: Mapping[str, Any], offered: Iterable[str]) -> str | None:
    """Return the function that has to be called."""
    choice = body.get("tool_choice") or {}
    return choice.get("name") or next(iter(offered), None) if choice.get("type") in ("any", "tool") else None


def _wanted(body: Mapping[str, Any], offered: Iterable[str]) -> str | None:
    """Return the function that the last words ask the model to call, or to answer by."""
    said = "".join(block["text"] for block in blocks_of(body["messages"][-1].get("content")) if _is_reminder(block))
    named = [name for name in _CALLED.findall(said) if name in offered]
    return named[-1] if named else next(iter(offered), None) if _ANY_CALL in said else None


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_TEXT = {"type": "text", "text": ""}
_THINKING = {"type": "thinking", "thinking": "", "signature": ""}


def _event(name: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), json_bytes({"type": name, **fields}))


def _delta(index: int, **delta: str) -> bytes:
    return _event("content_block_delta", index=index, delta=delta)


def _error(status: int, message: str, headers: Headers, delay: float = 0.0) -> RawAnswer:
    kind = _ERROR_TYPES.get(status, "api_error")
    error = {"type": "error", "error": {"type": kind, "message": message}, "request_id": headers[0][1].decode()}
    return RawAnswer.json(error, status=status, headers=headers, delay=delay)


def _limit_headers() -> Headers:
    return (
        (b"anthropic-ratelimit-requests-limit", b"1000"),
        (b"anthropic-ratelimit-requests-remaining", b"999"),
        (b"anthropic-ratelimit-requests-reset", b"2030-01-01T00:00:00Z"),
    )


def _usage_headers(directive: Directive) -> Headers:
    """Return what the API tells subscribers of their five-hour limit; the CLI reads it with an OAuth token only."""
    if directive.usage is None:
        return ()
    headers = [("status", directive.usage), ("representative-claim", "five_hour")]
    if directive.resets is not None:
        at = str(int(time.time() + directive.resets))
        headers += [("reset", at), ("5h-reset", at)]
        if directive.usage == "allowed":
            headers += [("5h-utilization", "0.1")]
        else:
            headers += [("5h-utilization", "0.95"), ("5h-surpassed-threshold", "0.9")]
    return tuple((b"anthropic-ratelimit-unified-%b" % name.encode(), value.encode()) for name, value in headers)


def _texts(content: Any) -> list[str]:
    """Return the texts of a message's content, those of the CLI's own left out."""
    return [str(block.get("text", "")) for block in blocks_of(content) if _is_text(block) and not _is_reminder(block)]


def _is_text(block: Mapping[str, Any]) -> bool:
    return block.get("type") == "text"


def _is_reminder(block: Mapping[str, Any]) -> bool:
    return _is_text(block) and str(block.get("text")).lstrip().startswith(_REMINDER)


def _results(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the functions returned that the last answer called; nothing when the user spoke last."""
    asked = (message.get("content") for message in reversed(messages) if message.get("role") == "user")
    said = ([block for block in blocks_of(content) if not _is_reminder(block)] for content in asked)
    blocks = next((blocks for blocks in said if blocks), [])
    if any(block.get("type") == "text" for block in blocks):
        return []
    results = [block.get("content") or "" for block in blocks if block.get("type") == "tool_result"]
    texts = [result if isinstance(result, str) else "".join(_texts(result)) for result in results]
    return ["; ".join(texts)] if texts else []


def _only_calls(directive: Directive) -> bool:
    return bool(directive.calls) and directive.text is None and directive.bytes is None and directive.deltas is None


def _user_texts(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """
    Return what the user said, oldest first. Notes may come after it: the CLI's of role ``system``, others marked.
    """
    return [text for message in messages if message.get("role") == "user" for text in _texts(message.get("content"))]


def _input_tokens(body: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return (fresh, written to the cache, read from it): last user message, system prompt, all that is older."""
    messages = body["messages"]
    counts = [sum(map(count_tokens, _texts(message.get("content")))) for message in messages]
    last = max((at for at, message in enumerate(messages) if message.get("role") == "user"), default=0)
    return sum(counts[last:]), sum(map(count_tokens, _texts(body.get("system")))), sum(counts[:last])
