"""
Pictures and files, from OpenAI's own client through the daemon and the real CLI to the API, byte by byte.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest
import pytest_twisted
from openai import BadRequestError, OpenAI
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from claudeproxy.core.media import MAX_IMAGE_BYTES
from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.stub import RecordedRequest, Stub
from tests.helpers import real_cli
from tests.live.daemon import Daemon
from tests.live.pictures import GIF, PNG, picture

T = TypeVar("T")

JPEG = b"\xff\xd8\xff\xe0" + os.urandom(30_000)
PDF = b"%PDF-1.7\n" + os.urandom(50_000)

Client = Callable[..., Any]


@pytest_twisted.async_yield_fixture
async def start(stub_anthropic: StubAnthropic) -> AsyncIterator[Client]:
    """Starts a daemon with the real CLI and returns a client of it."""
    daemons, clients = [], []

    async def start(**settings: str) -> OpenAI:
        known = {
            "ANTHROPIC_API_KEY": "sk-ant-test",
            "ANTHROPIC_BASE_URL": stub_anthropic.url,
            "CLAUDE_PATH": real_cli(),
            "WARM_PROCESSES": "0",
            "IMAGE_FETCH_ALLOW": "127.0.0.1",
        }
        daemons.append(Daemon.start(reactor, {**known, **settings}))
        clients.append(OpenAI(base_url=f"{await daemons[-1].url()}/v1", api_key="any", max_retries=0))
        return clients[-1]

    yield start
    for client in clients:
        client.close()
    for daemon in daemons:
        await daemon.kill()


def base64(data: bytes) -> str:
    """Bytes as the API has them."""
    return b64encode(data).decode()


def data_url(media_type: str, data: bytes) -> str:
    """A data URL."""
    return f"data:{media_type};base64,{base64(data)}"


def link(url: str) -> dict[str, Any]:
    """A part with a picture."""
    return {"type": "image_url", "image_url": {"url": url}}


def text(words: str) -> dict[str, Any]:
    """A text, as both APIs have it."""
    return {"type": "text", "text": words}


def image(media_type: str, data: bytes) -> dict[str, Any]:
    """A picture as the API has it."""
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": base64(data)}}


async def ask(client: OpenAI, messages: list[Any], **more: Any) -> Any:
    """The next message of the model, which the conversation has from then on."""
    made = await deferToThread(client.chat.completions.create, model="sonnet", messages=messages, **more)
    message = made.choices[0].message
    messages.append(message.model_dump(exclude_none=True))
    return message


def refused(client: OpenAI, parts: list[Any]) -> BadRequestError:
    """The error that a user's message leads to."""
    messages: list[Any] = [{"role": "user", "content": parts}]
    with pytest.raises(BadRequestError) as raised:
        client.chat.completions.create(model="sonnet", messages=messages)
    return raised.value


def sent(recorded: RecordedRequest) -> list[tuple[str, Any]]:
    """The messages that the API got, without the marks for its cache."""
    return [
        (message["role"], [{key: value for key, value in block.items() if key != "cache_control"} for block in blocks])
        for message in recorded.body["messages"]
        for blocks in [message["content"]]
    ]


@pytest_twisted.ensureDeferred
async def test_pictures_and_files_reach_the_model_to_the_byte(
    start: Client, stub_anthropic: StubAnthropic, picture_server: Stub
) -> None:
    """As data URL, by a link, and as a PDF; and all of it again when the conversation goes on."""
    picture_server.script("/cat.gif", picture(GIF))
    client = await start()
    parts = [
        text("What is this?"),
        link(data_url("image/jpeg", JPEG)),
        link(f"{picture_server.url}/cat.gif"),
        {"type": "file", "file": {"file_data": data_url("application/pdf", PDF), "filename": "paper.pdf"}},
        {"type": "file", "file": {"file_data": data_url("text/csv", "a,ä\n".encode()), "filename": "a.csv"}},
        link(data_url("image/jpeg", PNG)),
    ]
    messages: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}]
    answer = await ask(client, messages)
    messages.append({"role": "user", "content": "And now?"})
    other = await ask(client, messages)

    pdf = {"type": "base64", "media_type": "application/pdf", "data": base64(PDF)}
    csv = {"type": "text", "media_type": "text/plain", "data": "a,ä\n"}
    said = [
        text("What is this?"),
        image("image/jpeg", JPEG),
        image("image/gif", GIF),
        {"type": "document", "source": pdf, "title": "paper.pdf"},
        {"type": "document", "source": csv, "title": "a.csv"},
        image("image/png", PNG),
    ]
    first, second = stub_anthropic.requests
    assert sent(first) == [("user", said)]
    assert sent(second)[:3] == [("user", said), ("assistant", [text(answer.content)]), ("user", [text("And now?")])]
    assert other.content
    # The link was in both requests.
    assert len(picture_server.requests) == 1


@pytest_twisted.ensureDeferred
async def test_a_picture_that_a_function_returns(
    start: Client, stub_anthropic: StubAnthropic, picture_server: Stub
) -> None:
    """The model sees what its function shows, as data URL and by a link, in the place where it called."""
    client = await start()
    tools: Any = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    messages: list[Any] = [{"role": "user", "content": "[[stub call=look]]"}]
    asked = await ask(client, messages, tools=tools)
    (call,) = asked.tool_calls
    shown = [text("Here:"), link(data_url("image/png", PNG)), link(f"{picture_server.url}/a.png")]
    messages.append({"role": "tool", "tool_call_id": call.id, "content": shown})
    answer = await ask(client, messages, tools=tools)
    messages.append({"role": "user", "content": "Thanks."})
    await ask(client, messages, tools=tools)

    content = [text("Here:"), image("image/png", PNG), image("image/png", PNG)]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": content}
    second, third = (sent(each) for each in stub_anthropic.requests[1:])
    assert second[2] == ("user", [result])
    assert third[2:5] == [("user", [result]), ("assistant", [text(answer.content)]), ("user", [text("Thanks.")])]


@pytest_twisted.ensureDeferred
async def test_as_much_as_a_request_may_hold(start: Client, stub_anthropic: StubAnthropic) -> None:
    """The largest pictures and a PDF of 12 MiB, in a stream, arrive as they were sent."""
    client = await start()
    large = PNG + os.urandom(MAX_IMAGE_BYTES - len(PNG))
    pdf = b"%PDF-1.7\n" + os.urandom(12 * 1024 * 1024)
    parts = [link(data_url("image/png", large)), {"type": "file", "file": {"file_data": base64(pdf)}}, text("Well?")]
    messages: list[Any] = [{"role": "user", "content": parts}]

    def streamed() -> str:
        with client.chat.completions.stream(model="sonnet", messages=messages) as stream:
            return stream.get_final_completion().choices[0].message.content or ""

    assert await deferToThread(streamed)
    ((_, blocks),) = sent(stub_anthropic.requests[0])
    assert blocks[0] == image("image/png", large)
    assert blocks[1]["source"]["data"] == base64(pdf)


@pytest.mark.parametrize(
    ("url", "code", "told"),
    [
        ("http://127.0.0.1:{port}/a.png", "invalid_image_url", "no address to fetch from"),
        ("http://169.254.169.254/latest/meta-data/", "invalid_image_url", "no address to fetch from"),
        ("data:image/png;base64,iVBORw0KGgo", "invalid_value", "data in base64, whole"),
        ("data:image/tiff;base64,SUkqAA==", "invalid_value", "a picture of type image/png"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_cannot_be_had_is_named(
    start: Client, stub_anthropic: StubAnthropic, picture_server: Stub, url: str, code: str, told: str
) -> None:
    """By default nothing of this machine and its network is fetched; the client learns which part is at fault."""
    client = await start(IMAGE_FETCH_ALLOW="")
    parts = [text("What is this?"), link(url.format(port=picture_server.port))]
    error = await deferToThread(refused, client, parts)
    assert (error.code, error.param) == (code, "messages[0].content[1].image_url.url")
    assert told in error.message
    assert picture_server.connections == 0
    assert stub_anthropic.requests == []


@pytest_twisted.ensureDeferred
async def test_links_can_be_switched_off(start: Client, picture_server: Stub) -> None:
    """With ``IMAGE_FETCH=false`` nothing is fetched, not even from where it is allowed; data URLs work as ever."""
    client = await start(IMAGE_FETCH="false")
    parts = [link(data_url("image/png", PNG)), link(f"{picture_server.url}/a.png")]
    error = await deferToThread(refused, client, parts)

    assert (error.code, error.param) == ("unsupported_parameter", "messages[0].content[1].image_url.url")
    assert picture_server.connections == 0
    assert await ask(client, [{"role": "user", "content": parts[:1]}])
