"""
What the cases of the JavaScript clients are about, and what must have reached the model of them.
"""

from __future__ import annotations

import base64
from typing import Any

from tests.live.javascript_clients import Case

__all__ = [
    "ADA",
    "CALLS",
    "RESULTS",
    "WORDS",
    "arrived",
    "assert_asked_for",
    "assert_continued",
    "assert_offered",
    "assert_read",
    "assert_shown",
    "content",
    "counts",
    "system",
]

WORDS = ["eins ", "zwei ", "drei ", "vier"]
"""What a streaming model says."""
CALLS = [("add", {"a": 40, "b": 2}), ("weather-in_City2", {"city": "Zürich", "unit": "C"})]
"""What it calls."""
RESULTS = ["42", "17 C in Zürich"]
"""What the clients' functions return."""
ADA = {"name": "Ada “L.” Müller", "age": 36, "languages": ["de", "fr"], "address": {"city": "Zürich"}}
"""What it answers where an object is asked for."""
_RED_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"


def arrived(case: Case, at: int = -1) -> Any:
    """The body of a request that has reached the model's API."""
    return case.told[at].body


def content(case: Case, role: str, at: int = -1) -> list[Any]:
    """The blocks of the last message of a role that has reached the model."""
    *_, last = (message for message in arrived(case, at)["messages"] if message["role"] == role)
    return [{"type": "text", "text": last["content"]}] if isinstance(last["content"], str) else last["content"]


def system(case: Case) -> list[str]:
    """The system prompt that has reached the model."""
    return [block["text"] for block in arrived(case)["system"]]


def counts(case: Case) -> tuple[int, int, int]:
    """The tokens of the model's last answer: read, from the cache, written."""
    usage = case.told[-1].usage
    assert usage is not None
    cached = usage["cache_read_input_tokens"]
    return usage["input_tokens"] + usage["cache_creation_input_tokens"] + cached, cached, usage["output_tokens"]


def assert_offered(case: Case) -> None:
    """The model was offered the client's functions, to the letter."""
    assert len(case.functions) == 2
    for function, tool in zip(case.functions, arrived(case, 0)["tools"], strict=True):
        assert (tool["name"], tool["description"]) == (function["name"], function["description"])
        assert tool["input_schema"] == function["parameters"]
        assert tool["input_schema"]["$schema"].startswith("http://json-schema.org/")
        assert tool.get("strict") == function.get("strict")


def assert_continued(case: Case) -> None:
    """The model got its own calls and their results, in their order, and the same process went on."""
    calls = [block for block in content(case, "assistant") if block["type"] == "tool_use"]
    results = content(case, "user")
    assert [(call["name"], call["input"]) for call in calls] == CALLS
    assert [result["tool_use_id"] for result in results] == [call["id"] for call in calls]
    assert [result["content"][0]["text"] for result in results] == RESULTS
    assert len(case.told) == len(case.sessions) == 2
    assert case.sessions[0] == case.sessions[1]
    # Another process would have been told what this one knows of its first answer by itself.
    assert calls[0]["id"].startswith("toolu_msg_stub_")


def assert_asked_for(case: Case) -> None:
    """The model was given the client's schema, to the letter."""
    schema = case.sent[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["name"]["description"] == "The full name."
    assert arrived(case)["output_config"]["format"] == {"type": "json_schema", "schema": schema}


def assert_shown(case: Case) -> None:
    """The model was shown the picture, byte for byte, after the text."""
    text, image = content(case, "user")
    assert text["type"] == "text"
    assert (image["type"], image["source"]["media_type"]) == ("image", "image/png")
    assert base64.b64decode(image["source"]["data"]) == base64.b64decode(_RED_PIXEL)


def assert_read(case: Case) -> None:
    """The model was given the document, byte for byte and by its name, before the text."""
    document, text = content(case, "user")
    assert text["type"] == "text"
    assert (document["type"], document["title"]) == ("document", "empty.pdf")
    assert document["source"]["media_type"] == "application/pdf"
    read = base64.b64decode(document["source"]["data"])
    assert read.startswith(b"%PDF-1.4") and read.endswith(b"%%EOF\n")
