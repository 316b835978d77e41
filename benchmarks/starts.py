"""
Row (f): what functions and a history add to the time to the first token of a turn on the CLI.

Each kind of turn takes its place in every round, so that what else the machine does hits all of them; each finds
processes that wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection
from statistics import median
from typing import Any
from uuid import uuid4

from benchmarks.machine import installed_cli
from benchmarks.report import Figure, Row
from benchmarks.servers import Servers
from benchmarks.turns import PAUSE, ask, body, chat_turn, settle

__all__ = ["measure"]

_ROUNDS = 12
_PLAIN = "a plain turn"
_ALLOWED = 1.5
"""So many times as long as a plain turn's may another's first token take."""


def measure(servers: Servers) -> Row:
    """
    Measure each kind of turn once in each round.
    """
    kinds: dict[str, Callable[[int], float]] = {
        _PLAIN: _turn,
        "with 10 functions": lambda port: _turn(port, tools=_functions(10)),
        "with 128 functions": lambda port: _turn(port, tools=_functions(128)),
        "with a history of 20 messages": lambda port: _turn(port, history=_history(20)),
        "with both": lambda port: _turn(port, history=_history(20), tools=_functions(10)),
        "results of a parked call": _parked,
    }
    samples: dict[str, list[float]] = {kind: [] for kind in kinds}
    with servers.anthropic() as stub:
        settings = {"ANTHROPIC_API_KEY": "bench", "ANTHROPIC_BASE_URL": stub.url, "CLAUDE_PATH": installed_cli()}
        with servers.daemon({**settings, "WARM_PROCESSES": "2"}, pinned=False) as daemon:
            for turn in kinds.values():
                turn(daemon.port)  # what is loaded once is not a turn's
            for _ in range(_ROUNDS):
                for kind, turn in kinds.items():
                    samples[kind].append(turn(daemon.port))
    figures = {kind: 1000 * median(values) for kind, values in samples.items()}
    ratios = {kind: value / figures[_PLAIN] for kind, value in figures.items() if kind != _PLAIN}
    return Row(
        "f",
        "Claude Code: time to the first token of a turn that finds a warm process, median",
        [
            *(Figure(kind, value, "ms") for kind, value in figures.items()),
            *(Figure(f"{kind}, beside a plain turn", ratio, "times", _ALLOWED) for kind, ratio in ratios.items()),
        ],
        samples=samples,
    )


def _turn(port: int, history: Sequence[Any] = (), **more: Any) -> float:
    settle(port, 2)
    return chat_turn(port, [*history, _user("Hello")], **more)


def _parked(port: int) -> float:
    """
    The model has called a function, and its process waits for what that returns.
    """
    settle(port, 2)
    messages, tools = [_user("[[stub call=function_0 {}]]")], _functions(10)
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    called, _ = ask(connection, body(messages, tools=tools))
    connection.close()
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "done"} for call in called["tool_calls"]]
    time.sleep(PAUSE)
    return chat_turn(port, [*messages, called, *results], tools=tools)


def _functions(count: int) -> list[Any]:
    properties = {f"argument_{number}": {"type": "string", "description": "What it is about."} for number in range(4)}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return [
        {
            "type": "function",
            "function": {"name": f"function_{number}", "description": "Do something.", "parameters": parameters},
        }
        for number in range(count)
    ]


def _history(messages: int) -> list[Any]:
    """
    What nobody has said before, the user first and the model last.
    """
    said = [_user("Tell me more."), {"role": "assistant", "content": "There is nothing more to tell of it. " * 10}]
    return [_user("Hello"), said[1], *said * (messages // 2 - 1)]


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": f"{text} {uuid4()}"}
