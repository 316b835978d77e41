"""
Chains of backends that the tests of the web side send requests through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from claudeproxy.config import UpstreamConfig
from claudeproxy.core.events import Usage
from claudeproxy.core.routing import BackendName, Step
from tests.memory.doubles import Exchange, Turn
from tests.memory.wire import Answer, House, Wire

__all__ = [
    "BUSY",
    "CLAUDE",
    "DEEPSEEK",
    "LOCAL",
    "ODD",
    "OK",
    "OPENAI",
    "SONNET",
    "Make",
    "begun",
    "named",
    "send",
    "serve",
    "told",
]

CLAUDE = Step(BackendName.CLAUDE)
SONNET = Step(BackendName.CLAUDE, model="sonnet")
OPENAI = Step(BackendName.UPSTREAM, "openai")
DEEPSEEK = Step(BackendName.UPSTREAM, "deepseek", "deepseek-chat")
LOCAL = Step(BackendName.UPSTREAM, "local")

ODD = b'{ "model" :"gpt-5",\n"messages": [{"role":"user","content":"\\u0041"}], "unknown": 1e2 }'
OK = b'{"choices": []}'
BUSY = b'{"error":  {"message": "slow down"}}'


def named(name: str, *models: str) -> UpstreamConfig:
    """
    A further upstream.
    """
    url = f"http://{name}/v1"
    return UpstreamConfig(name=name, base_url=url, base_url_given=True, models=models, allow_client_key=False)


Make = Callable[..., House]


def send(house: House, body: bytes = ODD, **options: Any) -> Wire:
    """
    Send a chat request.
    """
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", body, **options)
    return wire


def serve(exchange: Exchange, body: bytes = OK) -> None:
    """
    Let an upstream answer as it should.
    """
    exchange.head()
    exchange.send(body)
    exchange.end(Usage(input_tokens=1, output_tokens=2))


def told(answer: Answer) -> tuple[str | None, str | None, str | None]:
    """
    What an answer says of who served it.
    """
    return (
        answer.headers.get("x-backend-mode"),
        answer.headers.get("x-upstream"),
        answer.headers.get("x-backend-attempts"),
    )


def begun(house: House) -> Turn:
    """
    The last turn, granted.
    """
    house.backend.turn.start()
    return house.backend.turn
