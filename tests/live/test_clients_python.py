"""
Clients in Python against the daemon with the real CLI, each through its public package.

A test is one case of one client: what its user sees, and what has reached the model. The first test of a client runs
all cases of it that were selected. ``make clients`` runs them.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from tests.live.python_clients import IMAGE, Case, Played, environments, play

INSTALLED = environments()

CALLS = '[[stub call=add {"a": 40, "b": 2} call=add {"a": 1, "b": 1}]]'
ADA = {"name": "Ada", "age": 36}
ADA_AS_TEXT = f"[[stub text={json.dumps(ADA)}]]"
ADA_IN_PIECES = f"[[stub text={json.dumps(ADA)} deltas=13]]"
PICTURE = {"type": "base64", "media_type": "image/png", "data": b64encode(IMAGE).decode()}
EDIT = """[[stub text=greeting.py
```python
<<<<<<< SEARCH
print("hello")
=======
print("goodbye")
>>>>>>> REPLACE
```
]]"""


@pytest.fixture(scope="session")
def runs() -> dict[str, dict[Case, Played]]:
    """What the clients saw that have run, by client."""
    return {}


@pytest_twisted.async_fixture
async def played(request: pytest.FixtureRequest, runs: dict[str, dict[Case, Played]]) -> Played:
    """The case that the test is about."""
    case = request.param
    if case.client not in runs:
        selected = [item.callspec.params.get("played") for item in request.session.items if hasattr(item, "callspec")]
        cases = dict.fromkeys(each for each in selected if isinstance(each, Case) and each.client == case.client)
        runs[case.client] = dict(await play(reactor, INSTALLED, list(cases)))
    return runs[case.client][case]


def cases(prompt: str, *names: str) -> pytest.MarkDecorator:
    """Have a test for each ``<client>-<case>``, with the same prompt."""
    return pytest.mark.parametrize(
        "played", [pytest.param(Case(*name.split("-"), prompt), id=name) for name in names], indirect=True
    )


def functions(body: Any) -> dict[str, set[str]]:
    """The functions that the model was offered, and the names of their parameters."""
    return {tool["name"]: set(tool["input_schema"]["properties"]) for tool in body["tools"]}


def blocks(messages: Any, kind: str) -> list[Any]:
    """The blocks of one kind that these messages have."""
    return [
        block
        for message in messages
        for block in message["content"]
        if isinstance(block, dict) and block["type"] == kind
    ]


def results(body: Any) -> list[str]:
    """What the model was told last of its calls."""
    (*_, last) = (message for message in body["messages"] if message["role"] == "user")
    return [block["content"][0]["text"] for block in blocks([last], "tool_result")]


def pictures(body: Any) -> list[Any]:
    """What the model was shown."""
    return [block["source"] for block in blocks(body["messages"], "image")]


def assert_grown(played: Played) -> None:
    """The object was seen when it had a name and no age yet, and complete in the end."""
    seen = [{"name": None, "age": None, **part} for part in played.seen["partial"]]
    assert {"name": "Ada", "age": None} in seen
    assert seen[-1] == ADA


# -- Words --------------------------------------------------------------------


@cases(
    "[[stub text=one two three]]",
    *("openai-chat", "openai-chat_async", "langchain-chat", "llama_index-chat", "llama_index-complete"),
    *("pydantic_ai-chat", "llm-chat", "llm-stream"),
)
def test_an_answer(played: Played) -> None:
    """The words of the model come to the user, and only they."""
    assert played.seen == {"text": "one two three"}
    assert len(played.requests) == 1


@cases(
    "[[stub text=one two three]]",
    *("openai-stream", "openai-stream_async", "langchain-stream", "langchain-stream_async"),
    *("llama_index-stream", "llama_index-stream_async", "pydantic_ai-stream"),
)
def test_a_streamed_answer(played: Played) -> None:
    """The words come one after the other, as the model says them."""
    assert played.seen == {"deltas": ["one", " two", " three"]}


@cases("[[stub text=one two three]]", "aider-chat", "aider-stream")
def test_aiders_answer(played: Played) -> None:
    """The words come between the lines that aider itself writes, after the model has got the file."""
    assert "one two three" in played.seen["text"].splitlines()
    assert 'print("hello")' in played.requests[0]["messages"][0]["content"][0]["text"]


@cases("[[stub text=one two three]]", "llm-continued")
def test_a_conversation_goes_on(played: Played) -> None:
    """A second question goes to the model with the first one and its answer."""
    roles = [message["role"] for message in played.requests[1]["messages"]]

    assert played.seen == {"text": "one two three"}
    assert [role for role in roles if role != "system"] == ["user", "assistant", "user"]


# -- Reasoning ----------------------------------------------------------------


@cases(
    "[[stub thinking=Let me think. text=Done.]]",
    *("openai-reasoning", "openai-reasoning_streamed", "llama_index-reasoning", "llama_index-reasoning_streamed"),
    *("pydantic_ai-reasoning", "pydantic_ai-reasoning_streamed"),
)
def test_reasoning(played: Played) -> None:
    """What the model thought comes once and apart from its words, and it takes as much effort as the client says."""
    (request,) = played.requests
    assert played.seen == {"reasoning": "Let me think.", "text": "Done."}
    assert request["output_config"]["effort"] == "low"


@cases("[[stub thinking=Let me think. text=Done.]]", "langchain-reasoning", "llm-reasoning")
def test_reasoning_that_is_not_shown(played: Played) -> None:
    """A client with no place for it gets the words alone."""
    (request,) = played.requests
    assert played.seen == {"text": "Done."}
    assert request["output_config"]["effort"] == "low"


@cases("[[stub thinking=Let me think. text=Done.]]", "aider-reasoning", "aider-reasoning_streamed")
def test_reasoning_that_aider_shows(played: Played) -> None:
    """It comes between headings of aider's."""
    lines = [line for line in played.seen["text"].splitlines() if line]
    assert lines[lines.index("Let me think.") - 1].endswith("**THINKING**")
    assert lines.count("Let me think.") == lines.count("Done.") == 1


@cases(CALLS.replace("[[stub ", "[[stub thinking=Two calls. "), "pydantic_ai-reasoning_before_tools")
def test_reasoning_before_calls(played: Played) -> None:
    """What was thought before calls comes with them, and the model has it when it goes on."""
    _, second = played.requests
    assert played.seen["reasoning"] == ["Two calls."]
    assert "42; 2" in played.seen["text"]
    assert [block["thinking"] for block in blocks(second["messages"], "thinking")] == ["Two calls."]


# -- Functions ----------------------------------------------------------------


@cases(
    CALLS,
    *("openai-tools", "openai-tools_async", "openai-tools_parsed", "openai-tools_streamed"),
    *("langchain-tools", "langchain-tools_streamed", "llama_index-tools", "llama_index-tools_streamed"),
    *("pydantic_ai-tools", "pydantic_ai-tools_streamed", "llm-tools", "llm-tools_streamed"),
)
def test_a_tool_loop(played: Played) -> None:
    """The client runs both calls of one answer, and the model goes on with what they returned."""
    assert "42; 2" in played.seen["text"]
    first, second = played.requests
    assert functions(first) == {"add": {"a", "b"}}
    assert results(second) == ["42", "2"]


@cases(CALLS, "llama_index-tools_at_once")
def test_calls_without_a_loop(played: Played) -> None:
    """``predict_and_call`` runs the calls of one answer and asks no more."""
    assert played.seen == {"results": [42, 2]}
    (request,) = played.requests
    assert functions(request) == {"add": {"a", "b"}}


@cases("[[stub call=llm_version {}]]", "llm-own_tool")
def test_a_function_that_llm_has(played: Played) -> None:
    """A function of the client's own runs too; it needs no arguments."""
    first, second = played.requests
    (version,) = results(second)
    assert functions(first) == {"llm_version": set()}
    assert version in played.seen["text"]


# -- Objects ------------------------------------------------------------------


@cases(
    ADA_AS_TEXT,
    *("langchain-schema_by_function", "llama_index-schema_by_function", "pydantic_ai-schema_by_function"),
    *("instructor-tools", "instructor-tools_async", "instructor-tools_streamed"),
)
def test_an_object_by_a_function(played: Played) -> None:
    """The model is told to call the one function that there is, and its arguments become the object."""
    (request,) = played.requests
    assert played.seen["value"] == ADA
    assert list(functions(request).values()) == [{"name", "age"}]
    assert "Call " in blocks(request["messages"], "text")[-1]["text"]


@cases(f"[[stub call=Person {json.dumps(ADA)} call=Person {json.dumps(ADA)}]]", "instructor-parallel_tools")
def test_several_objects_by_several_calls(played: Played) -> None:
    """Each call of an answer becomes an object."""
    assert played.seen == {"values": [ADA, ADA]}


@cases(f"[[stub call=IterablePerson {json.dumps({'tasks': [ADA, ADA]})}]]", "instructor-iterable")
def test_several_objects_by_one_call(played: Played) -> None:
    """A call with a list becomes as many objects."""
    assert played.seen == {"values": [ADA, ADA]}


@cases(
    ADA_IN_PIECES,
    *("openai-schema", "openai-schema_parsed", "openai-schema_streamed"),
    *("langchain-schema_by_response_format", "langchain-schema_streamed"),
    *("llama_index-schema_by_response_format", "llama_index-schema_streamed"),
    *("pydantic_ai-schema_by_response_format", "pydantic_ai-schema_streamed"),
    *("instructor-json_schema", "instructor-json_schema_streamed", "llm-schema"),
)
def test_an_object_by_a_schema(played: Played) -> None:
    """The answer has to be of a schema, which the model gets, and becomes the object."""
    (request,) = played.requests
    assert played.seen["value"] == ADA
    assert set(request["output_config"]["format"]["schema"]["properties"]) == {"name", "age"}


@cases(
    ADA_AS_TEXT,
    *("openai-json_object", "langchain-schema_by_json_mode", "instructor-json_mode", "instructor-json_mode_streamed"),
    *("pydantic_ai-schema_by_prompt",),
)
def test_an_object_by_json_mode(played: Played) -> None:
    """The answer has to be an object of any form; which one, the prompt says."""
    assert played.seen["value"] == ADA
    assert len(played.requests) == 1


@cases(f"[[stub text=```json\n{json.dumps(ADA)}\n```]]", "instructor-md_json")
def test_an_object_in_the_text(played: Played) -> None:
    """Nothing is asked for but in words, and the object found in the answer."""
    assert played.seen == {"value": ADA}


@cases(
    ADA_IN_PIECES,
    *("openai-schema_streamed", "langchain-schema_streamed", "llama_index-schema_streamed"),
    *("instructor-json_schema_streamed",),
)
def test_an_object_by_a_schema_grows(played: Played) -> None:
    """A streamed object is there in part before it is complete."""
    assert_grown(played)


@cases(ADA_AS_TEXT, "instructor-tools_streamed", "instructor-json_mode_streamed")
def test_an_object_by_a_function_grows(played: Played) -> None:
    """So is one whose function's arguments are streamed."""
    assert_grown(played)


@cases(
    '[[stub call=age_of {"name": "Ada"}]]',
    *("langchain-agent_by_function", "langchain-agent_by_response_format", "pydantic_ai-agent_by_function"),
)
def test_an_agent_ends_with_an_object(played: Played) -> None:
    """An agent runs its function first; what that returned leads the model to the object."""
    assert played.seen == {"value": ADA}
    assert len(played.requests) == 2
    assert len(results(played.requests[1])) == 1


@cases(CALLS, "openai-schema_beside_tools")
def test_an_object_after_calls(played: Played) -> None:
    """A request may offer functions and want an object: the model calls first, and then answers."""
    first, second = played.requests
    assert played.seen["value"].keys() == ADA.keys()
    assert functions(first) == functions(second) == {"add": {"a", "b"}}
    assert first["output_config"]["format"] == second["output_config"]["format"]
    assert results(second) == ["42", "2"]


# -- Images and files ---------------------------------------------------------


@cases(
    "[[stub text=Four red pixels.]]",
    *("openai-image", "langchain-image", "llama_index-image", "pydantic_ai-image", "pydantic_ai-image_by_url"),
    *("llm-image", "aider-image"),
)
def test_an_image(played: Played) -> None:
    """The model gets the very bytes of an image."""
    assert "Four red pixels." in played.seen["text"].splitlines()
    assert pictures(played.requests[0]) == [PICTURE]


@cases(ADA_AS_TEXT, "instructor-image")
def test_an_object_from_an_image(played: Played) -> None:
    """So it does beside a question for an object."""
    assert played.seen == {"value": ADA}
    assert pictures(played.requests[0]) == [PICTURE]


@cases(EDIT, "aider-edit", "aider-edit_streamed")
def test_a_file_is_edited(played: Played) -> None:
    """A block in the model's answer changes the file."""
    assert played.seen["file"] == 'print("goodbye")\n'


# -- Documentation ------------------------------------------------------------


@cases(
    "",
    *("openai-recipe", "langchain-recipe", "llama_index-recipe", "pydantic_ai-recipe", "instructor-recipe"),
)
def test_a_recipe(played: Played) -> None:
    """The program that the documentation has for a client prints an answer."""
    assert played.seen["text"]
