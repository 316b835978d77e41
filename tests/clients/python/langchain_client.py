"""
LangChain: its chat model of OpenAI, its structured output, its agent.
"""

from __future__ import annotations

from typing import Any

from case import API_KEY, BASE_URL, MODEL, PROMPT, Person, add, case, image_url, main
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

model = ChatOpenAI(model=MODEL, base_url=BASE_URL, api_key=API_KEY, max_retries=0)
ASKED: Any = {"messages": [{"role": "user", "content": PROMPT}]}


@tool
def age_of(name: str) -> str:
    """Tell how old somebody is."""
    return f"{name} [[stub call=Person {{\"name\": \"{name}\", \"age\": 36}}]]"


@tool
def age_in_json(name: str) -> str:
    """Tell how old somebody is."""
    return f"[[stub text={{\"name\": \"{name}\", \"age\": 36}}]]"


@case
def chat() -> Any:
    message = model.invoke(PROMPT)
    assert message.usage_metadata and message.usage_metadata["total_tokens"] > 0
    return {"text": message.content}


@case
def stream() -> Any:
    return {"deltas": [chunk.content for chunk in model.stream(PROMPT) if chunk.content]}


@case
async def stream_async() -> Any:
    return {"deltas": [chunk.content async for chunk in model.astream(PROMPT) if chunk.content]}


@case
def tools() -> Any:
    messages = create_agent(model, [tool(add)], system_prompt="Calculate.").invoke(ASKED)["messages"]
    return {"text": messages[-1].content}


@case
async def tools_streamed() -> Any:
    """The agent's tokens as the model says them."""
    said = ""
    agent = create_agent(model, [tool(add)], system_prompt="Calculate.")
    async for chunk, _ in agent.astream(ASKED, stream_mode="messages"):
        if type(chunk).__name__ == "AIMessageChunk":
            said += chunk.text
    return {"text": said}


def structured(method: str) -> Any:
    """Ask for a person by one of the three methods."""
    value = model.with_structured_output(Person, method=method).invoke(PROMPT)
    assert isinstance(value, Person)
    return {"value": value.model_dump()}


@case
def schema_function_calling() -> Any:
    return structured("function_calling")


@case
def schema_json_schema() -> Any:
    return structured("json_schema")


@case
def schema_json_mode() -> Any:
    return structured("json_mode")


@case
def schema_streamed() -> Any:
    """A structured answer as it grows."""
    described = {"title": "person", "description": "A person.", **Person.model_json_schema()}
    partial = list(model.with_structured_output(described, method="json_schema").stream(PROMPT))
    return {"value": partial[-1], "partial": partial}


@case
def agent_with_tool_strategy() -> Any:
    """An agent that uses its tool and then answers in a form, by a further tool."""
    agent = create_agent(model, [age_of], response_format=ToolStrategy(Person))
    return {"value": agent.invoke(ASKED)["structured_response"].model_dump()}


@case
def agent_with_provider_strategy() -> Any:
    """An agent that uses its tool and then answers in a form, by ``response_format``."""
    agent = create_agent(model, [age_in_json], response_format=ProviderStrategy(Person))
    return {"value": agent.invoke(ASKED)["structured_response"].model_dump()}


@case
def image() -> Any:
    parts: Any = [{"type": "text", "text": PROMPT}, {"type": "image_url", "image_url": {"url": image_url()}}]
    return {"text": model.invoke([HumanMessage(content=parts)]).content}


main()
