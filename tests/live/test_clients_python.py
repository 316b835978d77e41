"""
Clients in Python against the daemon with the real CLI, each through its public package: what the user sees, and what
has reached the model.

One case of one client is one test. ``make clients`` runs them.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from claudeproxy.testing.anthropic import StubAnthropic
from tests.helpers import real_cli
from tests.live.daemon import Daemon
from tests.live.python_clients import IMAGE, Programs, environments

CALLS = '[[stub call=add {"a": 40, "b": 2} call=add {"a": 1, "b": 1}]]'
EDIT = """greeting.py
```python
<<<<<<< SEARCH
print("hello")
=======
print("goodbye")
>>>>>>> REPLACE
```
"""
SOURCE = {"type": "base64", "media_type": "image/png", "data": b64encode(IMAGE).decode()}
ADA = {"name": "Ada", "age": 36}


@pytest_twisted.async_yield_fixture
async def programs(stub_anthropic: StubAnthropic, tmp_path: Path) -> AsyncIterator[Programs]:
    """The clients' programs, and a daemon for them."""
    environments()
    settings = {
        "API_KEY": "secret",
        "ANTHROPIC_API_KEY": "sk-ant-test",
        "ANTHROPIC_BASE_URL": stub_anthropic.url,
        "CLAUDE_PATH": real_cli(),
        "WARM_PROCESSES": "1",
    }
    daemon = Daemon.start(reactor, settings)
    yield Programs(await daemon.url(), tmp_path, "secret")
    await daemon.kill()


def cases(*names: str) -> pytest.MarkDecorator:
    """Run a test for each ``client case``."""
    return pytest.mark.parametrize(("client", "case"), [tuple(name.split()) for name in names])


def asked(stub: StubAnthropic, at: int = 0) -> Any:
    """The body of a request that has reached the model."""
    return [request.body for request in stub.requests if request.method == "POST"][at]


def last_blocks(body: Any, kind: str) -> list[Any]:
    """The blocks of one kind in the user's last message."""
    content = [message["content"] for message in body["messages"] if message["role"] == "user"][-1]
    return [block for block in content if isinstance(block, dict) and block["type"] == kind]


def results(body: Any) -> list[str]:
    """What the model was told of its calls."""
    return [block["content"][0]["text"] for block in last_blocks(body, "tool_result")]


def functions(body: Any) -> dict[str, set[str]]:
    """The functions that the model was offered, and the names of their parameters."""
    return {tool["name"]: set(tool["input_schema"]["properties"]) for tool in body["tools"]}


@cases(
    *("openai chat", "openai chat_async", "langchain chat", "llama_index chat", "llama_index complete"),
    *("pydantic_ai chat", "llm chat", "llm stream", "aider ask"),
)
@pytest_twisted.ensureDeferred
async def test_an_answer(client: str, case: str, programs: Programs) -> None:
    """The words of the model come to the user."""
    seen = await programs.run(client, case, "[[stub text=one two three]]")

    assert "one two three" in seen["text"]


@cases(
    *("openai stream", "openai stream_async", "langchain stream", "langchain stream_async", "llama_index stream"),
    *("llama_index stream_async", "pydantic_ai stream"),
)
@pytest_twisted.ensureDeferred
async def test_a_streamed_answer(client: str, case: str, programs: Programs) -> None:
    """The words come one after the other, as the model says them."""
    seen = await programs.run(client, case, "[[stub text=one two three]]")

    assert seen["deltas"] == ["one", " two", " three"]


@pytest_twisted.ensureDeferred
async def test_a_conversation_that_llm_continues(programs: Programs, stub_anthropic: StubAnthropic) -> None:
    """A second question goes to the model with the first one and its answer."""
    seen = await programs.run("llm", "continued", "[[stub text=one two three]]")

    assert seen["text"] == "one two three"
    assert [message["role"] for message in asked(stub_anthropic, 1)["messages"]] == ["user", "assistant", "user"]


@cases(
    *("openai tools", "openai tools_parsed", "openai tools_streamed", "openai tools_async"),
    *("langchain tools", "langchain tools_streamed", "llama_index agent", "llama_index agent_streamed"),
    *("pydantic_ai tools", "pydantic_ai tools_streamed", "llm tools", "llm tools_whole"),
)
@pytest_twisted.ensureDeferred
async def test_a_tool_loop(client: str, case: str, programs: Programs, stub_anthropic: StubAnthropic) -> None:
    """The client runs both calls of one answer, and the model goes on with what they returned."""
    seen = await programs.run(client, case, CALLS)

    assert "42; 2" in seen["text"]
    assert functions(asked(stub_anthropic)) == {"add": {"a", "b"}}
    assert results(asked(stub_anthropic, 1)) == ["42", "2"]
    assert len(stub_anthropic.requests) == 2


@pytest_twisted.ensureDeferred
async def test_calls_that_llama_index_runs_at_once(programs: Programs, stub_anthropic: StubAnthropic) -> None:
    """``predict_and_call`` runs all calls of one answer and asks no more."""
    assert await programs.run("llama_index", "tools", CALLS) == {"text": "42; 2"}
    assert functions(asked(stub_anthropic)) == {"add": {"a", "b"}}


BY_FUNCTION = {"pydantic_ai": "final_result"}
"""What a client calls the function that takes a ``Person``, unless it is ``Person``."""


@cases(
    *("langchain schema_function_calling", "llama_index schema_by_function", "pydantic_ai schema_by_tool"),
    *("instructor tools", "instructor tools_async", "instructor tools_streamed"),
)
@pytest_twisted.ensureDeferred
async def test_an_object_by_a_function(
    client: str, case: str, programs: Programs, stub_anthropic: StubAnthropic
) -> None:
    """The model has to call a function, and its arguments become the client's object."""
    function = BY_FUNCTION.get(client, "Person")
    seen = await programs.run(client, case, f"[[stub call={function} {json.dumps(ADA)}]]")

    assert seen["value"] == ADA
    assert functions(asked(stub_anthropic)) == {function: {"name", "age"}}
    assert asked(stub_anthropic)["tool_choice"]["type"] in ("any", "tool")


@cases("instructor parallel_tools", "instructor iterable")
@pytest_twisted.ensureDeferred
async def test_several_objects_by_functions(client: str, case: str, programs: Programs) -> None:
    """Several calls, or one with a list, become as many objects."""
    one = json.dumps(ADA)
    calls = {
        "parallel_tools": f"[[stub call=Person {one} call=Person {one}]]",
        "iterable": f'[[stub call=IterablePerson {{"tasks": [{one}, {one}]}}]]',
    }
    assert await programs.run(client, case, calls[case]) == {"values": [ADA, ADA]}


@cases(
    *("openai schema", "openai schema_parsed", "openai schema_streamed"),
    *("langchain schema_json_schema", "langchain schema_streamed"),
    *("llama_index schema_by_response_format", "llama_index schema_streamed"),
    *("pydantic_ai schema_native", "pydantic_ai schema_streamed"),
    *("instructor json_schema", "instructor json_schema_streamed", "llm schema"),
)
@pytest_twisted.ensureDeferred
async def test_an_object_by_a_schema(client: str, case: str, programs: Programs, stub_anthropic: StubAnthropic) -> None:
    """The answer has to be of a schema, which the model gets, and becomes the client's object."""
    seen = await programs.run(client, case, f"[[stub text={json.dumps(ADA)}]]")

    assert seen["value"] == ADA
    asked_for = asked(stub_anthropic)["output_config"]["format"]
    assert set(asked_for["schema"]["properties"]) == {"name", "age"}


@cases("openai json_object", "langchain schema_json_mode", "instructor json", "instructor json_streamed")
@pytest_twisted.ensureDeferred
async def test_an_object_by_json_mode(client: str, case: str, programs: Programs) -> None:
    """The answer has to be an object, of whichever form."""
    seen = await programs.run(client, case, f"Answer in JSON. [[stub text={json.dumps(ADA)}]]")

    assert seen["value"] == ADA


@cases("instructor md_json", "pydantic_ai schema_prompted")
@pytest_twisted.ensureDeferred
async def test_an_object_by_asking_for_it(client: str, case: str, programs: Programs) -> None:
    """The prompt says what the answer has to be."""
    seen = await programs.run(client, case, f"[[stub text=```json\n{json.dumps(ADA)}\n```]]")

    assert seen["value"] == ADA


@cases(
    *("openai schema_streamed", "langchain schema_streamed", "llama_index schema_streamed"),
    *("instructor tools_streamed", "instructor json_streamed", "instructor json_schema_streamed"),
)
@pytest_twisted.ensureDeferred
async def test_an_object_grows(client: str, case: str, programs: Programs) -> None:
    """A streamed object is there in part before it is complete."""
    value = json.dumps(ADA)
    seen = await programs.run(client, case, f"[[stub text={value} {'call=Person ' + value if case == 'tools_streamed' else ''}]]")

    assert seen["value"] == ADA
    assert {"name": "Ada", "age": None} in [{"age": None, **part} for part in seen["partial"]]


@cases(
    *("pydantic_ai tools_then_schema", "langchain agent_with_tool_strategy", "langchain agent_with_provider_strategy"),
)
@pytest_twisted.ensureDeferred
async def test_an_agent_that_ends_with_an_object(
    client: str, case: str, programs: Programs, stub_anthropic: StubAnthropic
) -> None:
    """An agent runs its function first, and what that returned leads the model to the object."""
    function = "age_in_json" if case == "agent_with_provider_strategy" else "age_of"
    seen = await programs.run(client, case, f'[[stub call={function} {{"name": "Ada"}}]]')

    assert seen["value"] == ADA
    assert len(results(asked(stub_anthropic, 1))) == 1


@cases(
    *("openai image", "langchain image", "llama_index image", "pydantic_ai image", "pydantic_ai image_by_url"),
    *("llm image", "aider image"),
)
@pytest_twisted.ensureDeferred
async def test_an_image(client: str, case: str, programs: Programs, stub_anthropic: StubAnthropic) -> None:
    """The model gets the very bytes of an image."""
    seen = await programs.run(client, case, "[[stub text=Four red pixels.]]")

    assert "Four red pixels." in seen["text"]
    assert [block["source"] for block in last_blocks(asked(stub_anthropic), "image")] == [SOURCE]


@pytest_twisted.ensureDeferred
async def test_an_object_from_an_image(programs: Programs, stub_anthropic: StubAnthropic) -> None:
    """Instructor asks for an object with an image beside the question."""
    seen = await programs.run("instructor", "image", f"[[stub call=Person {json.dumps(ADA)}]]")

    assert seen["value"] == ADA
    assert [block["source"] for block in last_blocks(asked(stub_anthropic), "image")] == [SOURCE]


@cases("aider edit", "aider edit_streamed")
@pytest_twisted.ensureDeferred
async def test_a_file_that_aider_edits(
    client: str, case: str, programs: Programs, stub_anthropic: StubAnthropic
) -> None:
    """A block in the model's answer changes the file, whose text the model was given."""
    seen = await programs.run(client, case, f"[[stub text={EDIT}]]")

    assert seen["file"] == 'print("goodbye")\n'
    assert 'print("hello")' in json.dumps(asked(stub_anthropic)["messages"]).replace('\\"', '"')
