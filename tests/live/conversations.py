"""
Random conversations, in the JSON of Chat Completions: what a client sends, and what the model is told to answer.

What can only be known when the daemon has answered, such as the ids of calls, is filled in by
:mod:`tests.live.fidelity`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from attrs import evolve, field, frozen

from tests.live.expected import chosen
from tests.live.odd import JSON, Dice, names_of

__all__ = ["Answer", "Conversation", "Echo", "Loss", "Turn", "Way", "conversation"]


class Way(StrEnum):
    """
    How a turn reaches the daemon.
    """

    GROWN = "grown"
    """With the whole conversation so far."""
    NAMED = "named"
    """By the session's id, with the new messages alone."""
    NAMED_WHOLE = "named, whole"
    """By the session's id, with the whole conversation all the same."""


class Loss(StrEnum):
    """
    What becomes of the process before a turn.
    """

    NONE = "none"
    EVICTED = "evicted"
    KILLED = "killed"
    RESTART = "restart"
    """Of the daemon: the sessions are all that is left."""


class Echo(StrEnum):
    """
    How a client sends an answer back.
    """

    EXACT = "exact"
    SLIM = "slim"
    """Role, content and calls alone."""
    PARTS = "parts"
    """The content as an array."""
    REWRITTEN = "rewritten"
    """The arguments of calls read and written anew."""
    EMPTY = "empty"
    """An empty string for no content."""
    EDITED = "edited"
    """With other words: the conversation is another one."""


@frozen
class Answer:
    """
    What the model is told to answer.
    """

    text: str | None
    calls: tuple[tuple[str, str], ...] = ()
    """Names of functions, and the text of the arguments."""
    thinking: bool = False


@frozen
class Turn:
    """
    One request, as far as it is known beforehand.
    """

    said: list[JSON]
    """Messages of the user and the system; the last one is the user's and says something."""
    answer: Answer
    way: Way = Way.GROWN
    loss: Loss = Loss.NONE
    speaks: bool = False
    """Whether these are sent also where functions return something."""
    results: tuple[Any, ...] = ("done",)
    """What functions return, one after the other, if any was called."""
    order: tuple[float, ...] = ()
    """Keys by which the results are put into another order than the calls'."""
    prefill: JSON | None = None
    echo: Echo = Echo.EXACT
    options: JSON = field(factory=dict)
    """Further parameters of the request."""
    functions: JSON | None = None
    """What the client offers from here on; None leaves it as it was."""


@frozen
class Conversation:
    """
    A conversation from its first request to its last.
    """

    history: list[JSON]
    """What came before the first request's own messages, perhaps nothing."""
    functions: JSON
    """``tools``, or the older ``functions``, or neither."""
    turns: list[Turn]


def conversation(dice: Dice) -> Conversation:
    """
    Draw a conversation.
    """
    offer = current = dice.offer()
    # Those that begin here, and those above all that are plain, can be said to the CLI in its own way.
    plain = dice.once_in(3)
    history = _history(dice) if not plain and dice.once_in(2) else _leading(dice)
    turns: list[Turn] = []
    for number in range(dice.choice((1, 2, 3, 3, 4, 5))):
        functions = dice.offer() if number and dice.once_in(30) else None
        current = current if functions is None else functions
        turn = evolve(_turn(dice, current, plain), functions=functions)
        turns.append(turn if number else evolve(turn, way=Way.GROWN, loss=Loss.NONE))
    return Conversation(history, offer, turns)


# -- Messages -----------------------------------------------------------------


def _texts(dice: Dice) -> str | list[JSON]:
    return dice.text() if dice.once_in(2) else [_text(dice) for _ in dice.some(4)]


def _text(dice: Dice) -> JSON:
    return {"type": "text", "text": dice.text()}


def _parts(dice: Dice) -> list[JSON]:
    return [dice.attachment() if dice.once_in(5) else _text(dice) for _ in dice.some(4)]


def _output(dice: Dice) -> str | list[JSON]:
    if not dice.once_in(3):
        return dice.output()
    return [dice.attachment() if dice.once_in(9) else {"type": "text", "text": dice.output()} for _ in dice.some(4)]


def _system(dice: Dice) -> JSON:
    return {"role": dice.choice(("system", "developer")), "content": _texts(dice), **_name(dice)}


def _user(dice: Dice) -> JSON:
    return {"role": "user", "content": dice.text() if dice.once_in(2) else _parts(dice), **_name(dice)}


def _name(dice: Dice) -> JSON:
    return {"name": dice.choice(("alice", "Bob M\u00fcller", "", " "))} if dice.once_in(10) else {}


def _said(dice: Dice, plain: bool) -> list[JSON]:
    if plain:
        # Whoever uses most clients says one thing at a time.
        return [{"role": "user", "content": dice.words()}]
    before = [_system(dice) if dice.once_in(8) else _user(dice) for _ in dice.some(3)]
    last: str | list[JSON] = dice.words()
    if dice.once_in(2):
        last = [*_parts(dice), {"type": "text", "text": last}]
    return [*before, {"role": "user", "content": last}]


def _leading(dice: Dice) -> list[JSON]:
    return [_system(dice) for _ in range(dice.choice((0, 1, 1, 2)))]


def _history(dice: Dice) -> list[JSON]:
    rounds = range(dice.choice((1, 1, 2, 3, 6)))
    # Many clients count calls anew in each answer.
    anew = dice.once_in(3)
    return [*_leading(dice), *(message for number in rounds for message in _round(dice, 0 if anew else number))]


def _round(dice: Dice, number: int) -> list[JSON]:
    """
    Draw what was said, what the model answered to it, and what the functions returned that it called.

    :param number: what tells the ids of its calls from those of other rounds.
    """
    messages = [_system(dice) if dice.once_in(9) else _user(dice) for _ in dice.some(3, least=dice.choice((0, 1, 1)))]
    if dice.once_in(12):
        name = dice.called()
        call = {"name": name, "arguments": dice.arguments()}
        messages.append({"role": "assistant", "content": dice.choice((None, dice.text())), "function_call": call})
        return [*messages, {"role": "function", "name": name, "content": _output(dice)}]
    calls = [
        {
            "id": f"call_{number}_{index}",
            "type": "function",
            "function": {"name": dice.called(), "arguments": dice.arguments()},
        }
        for index in range(dice.choice((0, 0, 0, 1, 1, 2, 3, 4)))
    ]
    messages.append(_answered(dice, calls))
    dice.shuffle(calls)
    return [*messages, *({"role": "tool", "tool_call_id": call["id"], "content": _output(dice)} for call in calls)]


def _answered(dice: Dice, calls: list[JSON]) -> JSON:
    message: JSON = {"role": "assistant"}
    kind = dice.choice(("text", "text", "text", "parts", "refusal", "none", "empty", "left out"))
    if kind == "text":
        message["content"] = dice.text()
    elif kind == "parts":
        message["content"] = [_text(dice) for _ in dice.some(4)]
        if dice.once_in(3):
            message["content"].append({"type": "refusal", "refusal": dice.text()})
    elif kind == "refusal":
        message |= {"content": dice.choice((None, "", [])), "refusal": dice.text()}
    elif kind in ("none", "empty"):
        message["content"] = None if kind == "none" else ""
    return {**message, "tool_calls": calls} if calls else message


# -- Turns --------------------------------------------------------------------


_ECHOES = tuple(echo for echo in Echo if echo is not Echo.EDITED)


def _turn(dice: Dice, offer: JSON, plain: bool) -> Turn:
    loss = Loss.NONE
    if dice.once_in(12):
        loss = dice.choice((Loss.EVICTED, Loss.KILLED, Loss.EVICTED, Loss.KILLED, Loss.RESTART))
    options = _options(dice, offer)
    prefill = None if plain or not dice.once_in(15) else {"role": "assistant", "content": _texts(dice)}
    return Turn(
        said=_said(dice, plain),
        answer=_answer(dice, names_of(offer), options, begun=prefill is not None, legacy="functions" in offer),
        way=dice.choice((Way.GROWN, Way.GROWN, Way.GROWN, Way.NAMED, Way.NAMED, Way.NAMED_WHOLE)),
        loss=loss,
        speaks=not plain and dice.once_in(5),
        results=tuple(dice.words(390_000) if plain else _output(dice) for _ in range(dice.randint(1, 3))),
        order=tuple(dice.random() for _ in range(9)),
        prefill=prefill,
        echo=Echo.EDITED if dice.once_in(20) else dice.choice((Echo.EXACT, *_ECHOES)),
        options=options,
    )


def _answer(dice: Dice, names: list[str], options: JSON, *, begun: bool, legacy: bool) -> Answer:
    """
    Draw an answer that a model can give.

    :param begun: whether the client has written its beginning.
    :param legacy: whether the client knows only the older form of a call, of which there can be one.
    """
    choice = options.get("tool_choice", options.get("function_call", "auto"))
    forced = choice not in ("auto", "none")
    most = 1 if legacy or options.get("parallel_tool_calls") is False else 4
    count = min(most, dice.choice((1, 1, 2, 3, 4) if forced else (0, 0, 0, 1, 1, 2, 3, 4)))
    if isinstance(choice, dict):
        names = chosen(choice)
    elif names and dice.once_in(20):
        # Models make functions up.
        names = [dice.name()]
    calls = tuple((dice.choice(names), dice.arguments()) for _ in range(count)) if names and choice != "none" else ()
    silent = bool(calls) and dice.once_in(2)
    text = None if silent else dice.text() if dice.once_in(5) else dice.words()
    # Nobody thinks when forced to call, or in the middle of an answer.
    return Answer(text, calls, thinking=dice.once_in(4) and not forced and not begun)


def _options(dice: Dice, offer: JSON) -> JSON:
    if not offer or dice.once_in(2):
        return {}
    names = names_of(offer)
    one = {"name": dice.choice(names)}
    if "functions" in offer:
        return {"function_call": dice.choice(("auto", "none", one))}
    options: JSON = {}
    if dice.once_in(2):
        some = dice.sample(names, dice.randint(1, len(names)))
        tools = [{"type": "function", "function": {"name": name}} for name in some]
        allowed = {"mode": dice.choice(("auto", "required")), "tools": tools}
        choices: tuple[Any, ...] = (
            *("auto", "none", "required"),
            {"type": "function", "function": one},
            {"type": "allowed_tools", "allowed_tools": allowed},
        )
        options["tool_choice"] = dice.choice(choices)
    if dice.once_in(2):
        options["parallel_tool_calls"] = dice.once_in(2)
    return options
