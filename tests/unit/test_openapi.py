"""
The OpenAPI document and its page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from claudeproxy.core.events import (
    Finished,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReport,
)
from claudeproxy.errors import BackendError
from claudeproxy.wire.errorbody import openai_error
from claudeproxy.wire.openai_chat import AnswerHead, CompletionFolder, StreamEncoder, decode_request
from claudeproxy.wire.openai_chat.schema import ChatCompletionRequest
from claudeproxy.wire.openapi import document, page
from claudeproxy.wire.openapi.answers import ChatCompletion, ChatCompletionChunk, ErrorBody
from claudeproxy.wire.openapi.operations import CHAT_EXAMPLES
from claudeproxy.wire.sse import EventDecoder

DOCUMENT = document("1.2.3")
SCHEMAS = DOCUMENT["components"]["schemas"]
PAGE = page(DOCUMENT)

EVENTS = (
    ReasoningDelta("Hm"),
    TextDelta("Hello"),
    ToolCallStarted(0, "toolu_1", "f"),
    ToolCallDelta(0, "{}"),
    UsageReport(Usage(input_tokens=9, output_tokens=2, cost_usd=0.01)),
    Finished(FinishReason.CONTENT_FILTER, "I must not."),
)


def assert_as_declared(body: bytes, kind: type[msgspec.Struct]) -> None:
    """Check that an answer has what its type declares, at any depth, and nothing else."""
    assert msgspec.to_builtins(msgspec.json.decode(body, type=kind)) == msgspec.json.decode(body)


def references(value: Any) -> Iterator[str]:
    """Return all that a part of the document refers to."""
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from references(inner)


def test_references_lead_somewhere() -> None:
    """Every reference of the document leads to a part of it, and every component is referred to."""
    told = set(references(DOCUMENT))
    there = {f"#/components/{kind}/{name}" for kind in ("schemas", "headers") for name in DOCUMENT["components"][kind]}

    assert there == told


def test_every_parameter_that_is_decoded_is_described() -> None:
    """The request's parameters are those of the type that decodes it, and each says what it does."""
    described = SCHEMAS["ChatCompletionRequest"]["properties"]

    assert set(described) == {field.encode_name for field in msgspec.structs.fields(ChatCompletionRequest)}
    assert all(parameter["description"] for parameter in described.values())
    assert {"minimum": 0, "maximum": 2, "type": "number"} in described["temperature"]["anyOf"]


@pytest.mark.parametrize("example", CHAT_EXAMPLES.values(), ids=CHAT_EXAMPLES)
def test_the_examples_are_requests(example: dict[str, Any]) -> None:
    """What the document gives as an example is accepted."""
    assert decode_request(msgspec.json.encode(example["value"])).messages


@pytest.mark.parametrize("legacy", [False, True])
def test_the_answers_are_as_declared(legacy: bool) -> None:
    """Whole answers, chunks and errors have the fields that the document declares, and no others."""
    head = AnswerHead("id", "sonnet", 1, legacy_calls=legacy)
    folder, encoder = CompletionFolder(head), StreamEncoder(head, include_usage=True)
    decoder, chunks = EventDecoder(9999), []
    for event in EVENTS:
        folder.add(event)
        chunks += [sent.data for sent in decoder.feed(encoder.encode(event))]

    assert_as_declared(folder.body(), ChatCompletion)
    assert_as_declared(openai_error(BackendError("It broke.")), ErrorBody)
    assert b"[DONE]" == chunks.pop()
    for chunk in chunks:
        assert_as_declared(chunk, ChatCompletionChunk)


def test_errors_are_told_by_status() -> None:
    """An operation lists its errors, and those that are ours alone are limited to our codes."""
    chat = DOCUMENT["paths"]["/v1/chat/completions"]["post"]["responses"]
    model = DOCUMENT["paths"]["/v1/models/{model}"]["get"]["responses"]

    assert {
        "200",
        "400",
        "401",
        "403",
        "404",
        "408",
        "409",
        "413",
        "414",
        "415",
        "429",
        "431",
        "500",
        "502",
        "503",
        "504",
        "default",
    } == set(chat)
    assert "- `session_busy`: " in chat["409"]["description"] and "Retry-After" in chat["429"]["headers"]
    assert "- `idempotency_key_in_use`: " in chat["409"]["description"] and "Retry-After" in chat["409"]["headers"]
    _, narrowed = model["404"]["content"]["application/json"]["schema"]["allOf"]
    assert narrowed == {"properties": {"error": {"properties": {"code": {"enum": ["model_not_found", "unknown_url"]}}}}}


class Tags(HTMLParser):
    """
    Checks that a page's tags are balanced, and remembers them.
    """

    VOID = ("meta", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop(), f"</{tag}> closes something else"


def test_the_page_loads_nothing() -> None:
    """The page is well-formed, runs no script, has no style outside its sheet and no address of another server."""
    tags = Tags(PAGE)

    assert [] == tags.open
    assert not {"script", "link", "img", "iframe", "form", "base", "object"} & {tag for tag, _ in tags.seen}
    assert not [attrs for _, attrs in tags.seen if "style" in attrs or any(name.startswith("on") for name in attrs)]
    assert "://" not in PAGE and "url(" not in PAGE and "@import" not in PAGE


def test_the_page_has_everything() -> None:
    """Every operation, parameter, status and type of the document stands on the page, and its links lead to them."""
    tags = Tags(PAGE)
    ids = [attrs["id"] for _, attrs in tags.seen if "id" in attrs]
    links = {attrs["href"] for tag, attrs in tags.seen if tag == "a"}

    assert len(ids) == len(set(ids))
    assert {link for link in links if link != "/openapi.json"} <= {f"#{name}" for name in ids}
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            assert f"<h3>{method.upper()} {path}</h3>" in PAGE
            assert operation["operationId"] in ids
            for told in (*operation["responses"], *(each["name"] for each in operation.get("parameters", ()))):
                assert f"<code>{told}</code>" in PAGE
    for name, schema in SCHEMAS.items():
        assert f"type-{name}" in ids
        assert all(f"<code>{key}</code>" in PAGE for key in schema["properties"])


def test_what_the_document_says_is_escaped() -> None:
    """Text of the document is text on the page, whatever it holds."""
    strange = {**DOCUMENT, "info": {"title": "<b>", "version": '"&', "description": "a `<i>` b"}}

    assert "<title>&lt;b&gt; &quot;&amp;</title>" in page(strange)
    assert "<p>a <code>&lt;i&gt;</code> b</p>" in page(strange)
    assert not re.search("``", PAGE)
