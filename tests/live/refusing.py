"""
What models are told instead of what they refuse, as docs/explanation/processes.md says.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from claudeproxy.testing.strictness import refused_by, signature
from tests.live.expected import expected_choice, expected_messages, expected_tools, without_end_blanks
from tests.live.odd import JSON

__all__ = ["Retold", "is_in_place", "requests_of"]

_BEGINNINGS = {"go on": "Go on with your last message", "call": "Call "}


class Retold:
    """
    A request as a model gets it.

    :param messages: the conversation, in the JSON of Chat Completions.
    """

    def __init__(self, model: str, body: JSON, offer: JSON, messages: Sequence[JSON]) -> None:
        refused = refused_by(model)
        choice = expected_choice(body, offer, messages)
        tools = expected_tools(offer, messages, body.get("tool_choice"))
        told = without_end_blanks(expected_messages(messages, remarks="system" in refused))
        self.requests: list[str] = []
        """What the daemon asks the model for, after the conversation."""
        if "prefill" in refused and told and told[-1]["role"] == "assistant":
            self.requests.append("go on")
        if "forced" in refused and choice is not None and choice["type"] in ("any", "tool"):
            self.requests.append("call")
            tools = [tool for tool in tools if choice.get("name", tool["name"]) == tool["name"]]
            choice = {name: value for name, value in choice.items() if name != "name"} | {"type": "auto"}
        self.messages, self.tools, self.choice = told, tools, choice


def requests_of(messages: list[JSON]) -> list[str]:
    """
    Take the daemon's own requests off the end of recorded messages; return which they are.
    """
    found: list[str] = []
    while messages and messages[-1]["role"] == "user":
        kind = next((kind for kind in _BEGINNINGS if _begins(messages[-1]["content"][-1], _BEGINNINGS[kind])), None)
        if kind is None:
            break
        found.insert(0, kind)
        messages[-1]["content"].pop()
        if not messages[-1]["content"]:
            messages.pop()
            break
    return found


def _begins(block: JSON, words: str) -> bool:
    return str(block.get("text")).startswith(f"<system-reminder>\n{words}")


def is_in_place(thought: str, body: JSON, called: Container[str]) -> bool:
    """
    Whether a model takes back a thought before these calls.

    :param thought: its signature.
    :param body: the request that would bring it back.
    """
    told = body["messages"]
    places = [at for at, each in enumerate(told) for block in each["content"] if _id(block) in called]
    return "other thoughts" not in refused_by(body["model"]) or thought == signature(body, told[: min(places)])


def _id(block: JSON | str) -> str | None:
    return block.get("id") if isinstance(block, dict) else None
