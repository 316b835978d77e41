"""
The parameters of a Chat Completions request: those that take effect, and those that do not.
"""

from __future__ import annotations

from typing import Any

import pytest

from claudeproxy.core.chat import Effort, TurnSettings
from claudeproxy.wire.openai_chat import decode_request
from tests.unit.chat_requests import OPTIONAL, body

# -- Parameters that take effect ----------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "settings"),
    [
        ({"reasoning_effort": "none"}, TurnSettings(effort=Effort.NONE)),
        ({"reasoning_effort": "minimal"}, TurnSettings(effort=Effort.LOW)),
        ({"reasoning_effort": "low"}, TurnSettings(effort=Effort.LOW)),
        ({"reasoning_effort": "medium"}, TurnSettings(effort=Effort.MEDIUM)),
        ({"reasoning_effort": "high"}, TurnSettings(effort=Effort.HIGH)),
        ({"reasoning_effort": "xhigh"}, TurnSettings(effort=Effort.XHIGH)),
        ({"reasoning_effort": "max"}, TurnSettings(effort=Effort.MAX)),
        ({"max_tokens": 5}, TurnSettings(max_tokens=5)),
        ({"max_tokens": 5, "max_completion_tokens": 7}, TurnSettings(max_tokens=7)),
        ({"max_tokens": 5, "max_completion_tokens": -1}, TurnSettings(max_tokens=5)),
        ({"max_tokens": -1}, TurnSettings()),
        ({"stop": "END"}, TurnSettings(stop=("END",))),
        ({"stop": ["a", "b", "\n", " d"]}, TurnSettings(stop=("a", "b", "\n", " d"))),
        ({"stop": []}, TurnSettings()),
    ],
)
def test_settings_of_the_turn(parameters: dict[str, Any], settings: TurnSettings) -> None:
    """Effort, token limits and stop sequences are honoured, so they are not reported as ignored."""
    decoded = decode_request(body(**parameters))

    assert decoded.settings == settings
    assert decoded.ignored == ()


@pytest.mark.parametrize(
    ("parameters", "stream", "include_usage"),
    [
        ({"stream": True}, True, False),
        ({"stream": False, "stream_options": {"include_usage": True}}, False, True),
        ({"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False}}, True, True),
        ({"stream": True, "stream_options": {"include_usage": None}}, True, False),
        ({"stream": True, "stream_options": {"include_usage": False, "other": 1}}, True, False),
    ],
)
def test_streaming(parameters: dict[str, Any], stream: bool, include_usage: bool) -> None:
    """Usage at the end of the stream comes only when it is asked for."""
    decoded = decode_request(body(**parameters))

    assert (decoded.stream, decoded.include_usage, decoded.ignored) == (stream, include_usage, ())


@pytest.mark.parametrize(
    "parameters",
    [
        {"n": 1},
        {"tools": [], "functions": [], "tool_choice": "auto", "function_call": "auto"},
        {"tool_choice": "auto"},
        {"response_format": {"type": "text"}},
        {"modalities": ["text"]},
        {"logit_bias": {}, "logprobs": False, "top_logprobs": 0},
    ],
)
def test_asking_for_the_usual_is_no_error(parameters: dict[str, Any]) -> None:
    """Clients that spell out what happens anyway are served, and nothing is reported."""
    assert decode_request(body(**parameters)) == decode_request(body())


# -- Parameters without effect ------------------------------------------------


def test_what_has_no_effect_is_reported_in_order() -> None:
    """The client learns which of its parameters did nothing, unknown ones included, in its own order."""
    decoded = decode_request(
        body(
            seed=7,
            frequency_penalty=-2,
            presence_penalty=2.0,
            user="u",
            metadata={"k": "v"},
            store=False,
            service_tier="auto",
            verbosity="low",
            prediction={"type": "content", "content": "x"},
            prompt_cache_key="k",
            prompt_cache_retention="24h",
            prompt_cache_options={"ttl": 5},
            safety_identifier="s",
            moderation={},
            top_k=5,
            chat_template_kwargs={"deep": [1, {"x": None}]},
        )
    )

    assert decoded.ignored == (
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "user",
        "metadata",
        "store",
        "service_tier",
        "verbosity",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "safety_identifier",
        "moderation",
        "top_k",
        "chat_template_kwargs",
    )


def test_the_report_is_fit_for_a_header() -> None:
    """Unknown names that no header could carry, or far too many of them, are not passed on."""
    names = ["a\r\nX-Evil: 1", "", "ü", "x" * 65, "a,b", *(f"p{number}" for number in range(100))]
    ignored = decode_request(body(**dict.fromkeys(names, 1))).ignored

    assert ignored == tuple(f"p{number}" for number in range(50))


@pytest.mark.parametrize("name", OPTIONAL)
def test_null_means_absent(name: str) -> None:
    """Clients that send every parameter, most of them null, get what they would get without."""
    assert decode_request(body(**{name: None})) == decode_request(body())
