"""
A stub of OpenAI's API: the upstream behind the passthrough.

It answers chats with canned words, does what :mod:`claudeproxy.testing.directives` in the last user text ask for, and
records every request byte for byte. What it does not know it echoes.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping, Sequence
from email.parser import BytesParser
from hashlib import sha256
from typing import Any

from claudeproxy.testing.bodies import ChatBody, misread
from claudeproxy.testing.canned import bounded, canned_answer, count_tokens, cut
from claudeproxy.testing.directives import Directive
from claudeproxy.testing.pacing import Headers, silent, streamed, whole
from claudeproxy.testing.playing import RawAnswer, json_bytes
from claudeproxy.testing.stub import RecordedRequest, Stub

__all__ = ["StubOpenAI"]

_CREATED = 1_767_225_600
"""The second at which everything here was created: the first of 2026."""

_MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-5", "text-embedding-3-small")

_ERROR_TYPES = {401: "invalid_request_error", 403: "permission_error", 429: "rate_limit_error"}

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "refusal": "content_filter",
}


class StubOpenAI(Stub):
    """
    Serves ``/v1/chat/completions``, ``/v1/models``, ``/v1/embeddings`` and ``/v1/files``; any other path is answered
    with its method, path and the SHA-256 of its body.

    :param every: seconds between deltas when no directive says.
    """

    def __init__(self, every: float = 0.0) -> None:
        super().__init__()
        self._every = every

    @property
    def base_url(self) -> str:
        """What ``OPENAI_BASE_URL`` is set to."""
        return f"{self.url}/v1"

    def answer(self, request: RecordedRequest) -> RawAnswer:
        """
        Answer as the API would.
        """
        serial = len(self.requests)
        headers = _headers(serial)
        what = (request.method, request.path.removeprefix("/v1"))
        if what == ("POST", "/chat/completions"):
            return self._chat(request, serial, headers)
        if what == ("POST", "/embeddings"):
            return _embeddings(request, headers)
        if what == ("POST", "/files"):
            return _file(request, serial, headers)
        if what[0] == "GET" and what[1].startswith("/models"):
            return _models(what[1].removeprefix("/models").strip("/"), headers)
        digest = sha256(request.raw_body).hexdigest()
        echo = {"method": request.method, "path": request.path, "bytes": len(request.raw_body), "sha256": digest}
        return RawAnswer.json(echo, headers=headers)

    def _chat(self, request: RecordedRequest, serial: int, headers: Headers) -> RawAnswer:
        if wrong := misread(request.body, ChatBody):
            return _error(400, wrong, headers)
        texts = _user_texts(request.body["messages"])
        directive = Directive.parse(texts[-1] if texts else "")
        if directive.mute:
            return silent()
        if directive.status is not None:
            retry = directive.retry_after
            more = ((b"retry-after", retry.encode()),) if retry else ()
            return _error(directive.status, directive.message or "as directed", (*headers, *more), directive.delay)
        limit = request.body.get("max_completion_tokens") or request.body.get("max_tokens")
        stop = request.body.get("stop") or ()
        words = cut(directive, canned_answer("the OpenAI API", texts))
        directive, kept = bounded(directive, words, limit, [stop] if isinstance(stop, str) else stop)
        completion = _Completion(request.body, directive, kept, f"chatcmpl-stub{serial:08d}")
        request.usage = completion.usage
        if not request.body.get("stream"):
            value = completion.value()
            return whole(directive, headers=headers, value=value, deltas=len(kept), every=self._every)
        error = {"message": directive.message or "Overloaded", "type": "server_error", "param": None, "code": None}
        return streamed(
            directive,
            headers=headers,
            opening=completion.opening(),
            deltas=completion.deltas(),
            closing=completion.closing(),
            error=_data(json_bytes({"error": error})),
            every=self._every,
        )


class _Completion:
    """
    One answer in the API's form, whole or as chunks.
    """

    def __init__(self, body: Mapping[str, Any], directive: Directive, words: Sequence[str], id: str) -> None:
        self._body = body
        self._directive = directive
        self._words = words
        self._id = id
        self._finish = _FINISH_REASONS[directive.stop]
        prompt = sum(count_tokens(text) for message in body["messages"] for text in _texts(message.get("content")))
        reasoning = count_tokens(directive.thinking or "")
        completion = sum(map(count_tokens, words)) + reasoning
        self.usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": prompt // 2, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
        }

    def value(self) -> dict[str, Any]:
        """
        Return the whole completion.
        """
        text = "".join(self._words)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        if self._directive.thinking:
            message["reasoning_content"] = self._directive.thinking
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self.usage}

    def opening(self) -> Iterator[bytes]:
        """
        Yield the chunk with the role.
        """
        yield self._chunk({"role": "assistant", "content": "", "refusal": None})

    def deltas(self) -> Iterator[Sequence[bytes]]:
        """
        Yield the chunk of each delta, reasoning first.
        """
        if self._directive.thinking:
            for thought in cut(Directive(text=self._directive.thinking), ""):
                yield (self._chunk({"reasoning_content": thought}),)
        for word in self._words:
            yield (self._chunk({"content": word}),)

    def closing(self) -> Iterator[bytes]:
        """
        Yield the finish reason, the usage if it was asked for, and the end mark.
        """
        yield self._chunk({}, self._finish)
        if self._wants_usage():
            yield _data(json_bytes({**self._head("chat.completion.chunk"), "choices": [], "usage": self.usage}))
        yield _data(b"[DONE]")

    def _head(self, kind: str) -> dict[str, Any]:
        head = {"id": self._id, "object": kind, "created": _CREATED, "model": self._body.get("model")}
        return {**head, "service_tier": "default", "system_fingerprint": "fp_stub"}

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        usage = {"usage": None} if self._wants_usage() else {}
        return _data(json_bytes({**self._head("chat.completion.chunk"), "choices": [choice], **usage}))

    def _wants_usage(self) -> bool:
        return bool((self._body.get("stream_options") or {}).get("include_usage"))


def _data(payload: bytes) -> bytes:
    return b"data: %b\n\n" % payload


def _headers(serial: int) -> Headers:
    return (
        (b"x-request-id", b"req_stub%08d" % serial),
        (b"openai-processing-ms", b"12"),
        (b"openai-version", b"2020-10-01"),
        (b"openai-organization", b"stub"),
        (b"x-ratelimit-limit-requests", b"500"),
        (b"x-ratelimit-remaining-requests", b"499"),
        (b"x-ratelimit-reset-requests", b"120ms"),
        (b"x-ratelimit-limit-tokens", b"200000"),
        (b"x-ratelimit-remaining-tokens", b"199000"),
        (b"x-ratelimit-reset-tokens", b"300ms"),
    )


def _error(status: int, message: str, headers: Headers, delay: float = 0.0) -> RawAnswer:
    kind = _ERROR_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    code = "rate_limit_exceeded" if status == 429 else None
    error = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return RawAnswer.json(error, status=status, headers=headers, delay=delay)


def _models(name: str, headers: Headers) -> RawAnswer:
    models = [{"id": id, "object": "model", "created": _CREATED, "owned_by": "stub"} for id in _MODELS]
    if not name:
        return RawAnswer.json({"object": "list", "data": models}, headers=headers)
    for model in models:
        if model["id"] == name:
            return RawAnswer.json(model, headers=headers)
    return _error(404, f"The model '{name}' does not exist", headers)


def _embeddings(request: RecordedRequest, headers: Headers) -> RawAnswer:
    """Return a vector of three for each input: numbers, or as the SDKs ask, little-endian floats in base64."""
    body = request.body if isinstance(request.body, dict) else {}
    given = body.get("input", "")
    inputs = given if isinstance(given, list) else [given]
    data: list[dict[str, Any]] = []
    for index, text in enumerate(inputs):
        vector: Any = [0.5, -0.25, float(len(str(text)))]
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack("<3f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    tokens = sum(count_tokens(str(text)) for text in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    value = {"object": "list", "data": data, "model": body.get("model"), "usage": usage}
    return RawAnswer.json(value, headers=headers)


def _file(request: RecordedRequest, serial: int, headers: Headers) -> RawAnswer:
    """Return the file object of a multipart upload, with the SHA-256 of what arrived."""
    kind = request.headers.get("content-type", "")
    parts = BytesParser().parsebytes(b"Content-Type: %b\r\n\r\n%b" % (kind.encode(), request.raw_body))
    fields = {part.get_param("name", header="content-disposition"): part for part in parts.walk() if part is not parts}
    upload = fields.get("file")
    if upload is None:
        return _error(400, "'file' is a required property", headers)
    content = bytes(upload.get_payload(decode=True) or b"")
    purpose = fields["purpose"].get_payload() if "purpose" in fields else None
    value = {
        "id": f"file-stub{serial:08d}",
        "object": "file",
        "bytes": len(content),
        "created_at": _CREATED,
        "filename": upload.get_filename(),
        "purpose": purpose,
        "status": "processed",
        "sha256": sha256(content).hexdigest(),
    }
    return RawAnswer.json(value, headers=headers)


def _texts(content: Any) -> list[str]:
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    return [str(part.get("text", "")) for part in parts if isinstance(part, dict) and part.get("type") == "text"]


def _user_texts(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    told = (message for message in messages if isinstance(message, dict) and message.get("role") == "user")
    return [text for message in told for text in _texts(message.get("content"))]
