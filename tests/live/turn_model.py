"""
What one request asks for beyond its messages: random, and what of it the API is to get.

The reference (docs/reference/chat-completions.md) says it in words; nothing here knows how the daemon does it.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field, frozen

from tests.live.expected import chosen, expected_choice, expected_tools
from tests.live.odd import JSON, Dice

__all__ = ["BY_CALL", "TOOLS", "Course", "Defaults", "Expected", "options"]

TOOLS: JSON = {
    "tools": [
        {"type": "function", "function": {"name": "add", "description": "Add.", "parameters": {"properties": {}}}},
        {"type": "function", "function": {"name": "get_weather", "strict": True}},
    ]
}
_SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": False}
BY_CALL = "answer"
"""The function that a model has to call to answer by any object."""

_FORMS: tuple[JSON, ...] = (
    {"type": "json_schema", "json_schema": {"name": "place", "schema": _SCHEMA, "strict": True}},
    {"type": "json_schema", "json_schema": {"name": "other", "schema": {**_SCHEMA, "title": "Other"}, "strict": True}},
    {"type": "text"},
)
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_ONE = {"type": "function", "function": {"name": "add"}}
_ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [_ONE]}}
_MUST = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [_ONE]}}


def options(dice: Dice, *, tools: bool, by_call: bool) -> JSON:
    """
    Draw the parameters of a turn; each is there or not.

    :param by_call: whether the form of the answer may be one that takes a call.
    """
    drawn: JSON = {
        "max_tokens": dice.choice((300, 1024, 1025, 4096, 64_000)),
        "max_completion_tokens": dice.choice((300, 1024, 1025, 8192, -1)),
        "stop": dice.choice(("zzz", ["zzz"], ["zzz", "yyy"], [])),
        "reasoning_effort": dice.choice(_EFFORTS),
        "response_format": {"type": "json_object"} if by_call and dice.once_in(3) else dice.choice(_FORMS),
        "temperature": dice.choice((0, 0.3, 1, 1.7)),
        "top_p": dice.choice((0.5, 0.99, 1)),
    }
    if tools:
        drawn["tool_choice"] = dice.choice(("auto", "none", "required", _ONE, _ALLOWED, _MUST))
        drawn["parallel_tool_calls"] = dice.once_in(2)
    # Few at a time, so that what is missing from a turn is often something that the turn before had.
    return {name: drawn[name] for name in dice.sample([*drawn], dice.randint(0, 4))}


@frozen
class Defaults:
    """
    What the CLI sends where the client asks for nothing.
    """

    max_tokens: int
    effort: str


@frozen
class Expected:
    """
    What the API is to get.
    """

    settings: JSON
    """All that a request has beside its messages and its functions."""
    tools: list[JSON]
    thinks: bool
    forced: bool
    """Whether the model must call one of the client's functions."""
    form: bool
    """Whether the answer must be an object."""
    called_form: bool
    """Whether that object is what a function of the daemon's is called with."""
    names: list[str]
    """The client's functions that may be called."""
    ignored: tuple[str, ...]
    """Parameters that have no effect, which the client is told."""


@define
class Course:
    """
    A conversation as far as it matters to its settings.
    """

    defaults: Defaults
    honour: bool
    """Whether the operator lets clients choose the temperature."""
    offer: JSON
    told: bool = False
    """Whether the daemon tells the API the conversation, and not the CLI."""
    waits: bool = False
    """Whether the model has called functions."""
    thought: bool = False
    """Whether it thought before it did."""
    kept: tuple[Any, ...] = ()
    """What the turn in which it waits began with."""
    known: set[str] = field(factory=set)
    """The functions that the process knows."""
    processes: int = 0

    def turn(self, body: JSON, *, begun: bool) -> Expected:
        """
        Say what a request comes to, which continues this conversation.

        :param begun: whether the client has written the beginning of the answer.
        """
        limit = self._limit(body)
        effort = {"minimal": "low", "none": "low"}.get(body.get("reasoning_effort", ""), body.get("reasoning_effort"))
        choice = body.get("tool_choice")
        tools = expected_tools(self.offer, (), choice)
        forced = bool(tools) and expected_choice(body, self.offer, ())["type"] in ("any", "tool")  # type: ignore[index]
        format = None if forced else body.get("response_format")
        form = format is not None and format["type"] != "text"
        called_form = form and format["type"] == "json_object"  # type: ignore[index]
        self._continue(called_form, begun, (limit, effort))

        sampling = self._sampling(body)
        thinks = (
            body.get("reasoning_effort") != "none"
            and not forced
            and not called_form
            and (limit is None or limit > 1024)
            and not sampling
            and not begun
            # What is told must have been thought before the calls, if the model is to think after them.
            and (self.thought or not (self.told and self.waits))
        )
        settings: JSON = {"max_tokens": limit or self.defaults.max_tokens, **sampling}
        settings["output_config"] = {"effort": effort or self.defaults.effort}
        if form and not called_form:
            settings["output_config"]["format"] = {"type": "json_schema", "schema": format["json_schema"]["schema"]}  # type: ignore[index]
        if body.get("stop"):
            settings["stop_sequences"] = [body["stop"]] if isinstance(body["stop"], str) else body["stop"]
        if called_form:
            settings["tool_choice"] = self._choice_beside(body)
        elif tools:
            settings["tool_choice"] = expected_choice(body, self.offer, ())
        may_call = choice != "none"
        names = [tool["name"] for tool in tools] if may_call else []
        if isinstance(choice, dict) and choice["type"] == "function":
            names = chosen(choice)
        ignored = tuple(name for name in ("temperature", "top_p") if name in body and self._has_no_effect(name, body))
        return Expected(settings, tools, thinks, forced, form, called_form, names, ignored)

    def _continue(self, called_form: bool, begun: bool, kept: tuple[Any, ...]) -> None:
        """
        Note what becomes of the process.
        """
        needed = {tool["name"] for tool in expected_tools(self.offer)} | ({BY_CALL} if called_form else set())
        if self.processes == 0 or not needed <= self.known:
            self.told = self.processes > 0 or self.told
            self.known, self.processes = needed, self.processes + 1
        elif self.waits and self.kept != kept:
            self.told = True
        self.told = self.told or begun or called_form
        self.kept = kept

    def answered(self, *, calls: bool, thought: bool) -> None:
        """
        Note what the model has answered.
        """
        self.waits, self.thought = calls, thought

    @staticmethod
    def _limit(body: JSON) -> int | None:
        for name in ("max_completion_tokens", "max_tokens"):
            if body.get(name, -1) != -1:
                return int(body[name])
        return None

    def _sampling(self, body: JSON) -> JSON:
        """
        Return the temperature, or else the share of the likeliest tokens: where they are no more than the default.
        """
        if not self.honour:
            return {}
        for name in ("temperature", "top_p"):
            if body.get(name, 1) < 1:
                return {name: body[name]}
        return {}

    def _has_no_effect(self, name: str, body: JSON) -> bool:
        # What asks for the default has it.
        return not self.honour or (name == "top_p" and body[name] < 1 and "top_p" not in self._sampling(body))

    def _choice_beside(self, body: JSON) -> JSON:
        """
        Return how a model is made to answer by a call, where it may call a function of the client's instead.
        """
        if self.offer and body.get("tool_choice") != "none":
            parallel = body.get("parallel_tool_calls") is not False
            return {"type": "any"} if parallel else {"type": "any", "disable_parallel_tool_use": True}
        return {"type": "tool", "name": BY_CALL, "disable_parallel_tool_use": True}
