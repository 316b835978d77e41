"""
LangChain: its chat model of OpenAI, its structured output, its agent.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from case import API_KEY, BASE_URL, IMAGE, MODEL, Person, add, case, documented, main, printed
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

model = ChatOpenAI(model=MODEL, base_url=BASE_URL, api_key=API_KEY, max_retries=0)


def asked(prompt: str) -> Any:
    """Return what an agent is called with."""
    return {"messages": [{"role": "user", "content": prompt}]}


@tool("age_of")
def age_by_call(name: str) -> str:
    """Tell how old somebody is."""
    return f'[[stub call=Person {{"name": "{name}", "age": 36}}]]'


@tool("age_of")
def age_by_text(name: str) -> str:
    """Tell how old somebody is."""
    return f'[[stub text={{"name": "{name}", "age": 36}}]]'


@case
def chat(prompt: str) -> Any:
    message = model.invoke(prompt)
    assert message.usage_metadata["total_tokens"] > 0
    return {"text": message.content}


@case
def stream(prompt: str) -> Any:
    return {"deltas": [chunk.content for chunk in model.stream(prompt) if chunk.content]}


@case
async def stream_async(prompt: str) -> Any:
    return {"deltas": [chunk.content async for chunk in model.astream(prompt) if chunk.content]}


@case
def tools(prompt: str) -> Any:
    agent = create_agent(model, [tool(add)], system_prompt="Calculate.")
    return {"text": agent.invoke(asked(prompt))["messages"][-1].content}


@case
async def tools_streamed(prompt: str) -> Any:
    """The agent's words as the model says them."""
    said = ""
    agent = create_agent(model, [tool(add)], system_prompt="Calculate.")
    async for chunk, _ in agent.astream(asked(prompt), stream_mode="messages"):
        if chunk.type == "AIMessageChunk":
            said += chunk.text
    return {"text": said}


def structured(method: Any, prompt: str) -> Any:
    """Ask for a person by one of the three methods."""
    return {"value": model.with_structured_output(Person, method=method).invoke(prompt).model_dump()}


@case
def schema_by_function(prompt: str) -> Any:
    return structured("function_calling", prompt)


@case
def schema_by_response_format(prompt: str) -> Any:
    return structured("json_schema", prompt)


@case
def schema_by_json_mode(prompt: str) -> Any:
    return structured("json_mode", prompt)


@case
def schema_streamed(prompt: str) -> Any:
    """An object that grows."""
    described = {"title": "person", "description": "A person.", **Person.model_json_schema()}
    partial = list(model.with_structured_output(described, method="json_schema").stream(prompt))
    return {"value": partial[-1], "partial": partial}


@case
def agent_by_function(prompt: str) -> Any:
    """An agent that uses its function, and then gives an object by a further one."""
    agent = create_agent(model, [age_by_call], response_format=ToolStrategy(Person))
    return {"value": agent.invoke(asked(prompt))["structured_response"].model_dump()}


@case
def agent_by_response_format(prompt: str) -> Any:
    """An agent that uses its function, and then gives an object by ``response_format``."""
    agent = create_agent(model, [age_by_text], response_format=ProviderStrategy(Person))
    return {"value": agent.invoke(asked(prompt))["structured_response"].model_dump()}


@case
def reasoning(prompt: str) -> Any:
    """It has no place for what the model thought."""
    return {"text": model.bind(reasoning_effort="low").invoke(prompt).content}


@case
def image(prompt: str) -> Any:
    picture = {"type": "image", "base64": b64encode(IMAGE.read_bytes()).decode(), "mime_type": "image/png"}
    return {"text": model.invoke([HumanMessage(content=[{"type": "text", "text": prompt}, picture])]).content}


@case
def recipe(prompt: str) -> Any:
    return {"text": printed(documented("LangChain", "python"))}


main()
