"""
LlamaIndex: its model of servers like OpenAI's, its structured prediction, its agent.
"""

from __future__ import annotations

from typing import Any

from case import API_KEY, BASE_URL, IMAGE, MODEL, PROMPT, Person, add, case, main
from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike


def model(*, structured: bool = False) -> OpenAILike:
    """Return the model; ``structured`` has it ask by ``response_format`` and not by a function."""
    return OpenAILike(
        model=MODEL,
        api_base=BASE_URL,
        api_key=API_KEY,
        context_window=200_000,
        is_chat_model=True,
        is_function_calling_model=True,
        should_use_structured_outputs=structured,
        max_retries=0,
    )


MESSAGES = [ChatMessage(role="user", content=PROMPT)]
ADD = FunctionTool.from_defaults(add)


@case
def chat() -> Any:
    return {"text": model().chat(MESSAGES).message.content}


@case
def complete() -> Any:
    return {"text": model().complete(PROMPT).text}


@case
def stream() -> Any:
    return {"deltas": [chunk.delta for chunk in model().stream_chat(MESSAGES) if chunk.delta]}


@case
async def stream_async() -> Any:
    return {"deltas": [chunk.delta async for chunk in await model().astream_chat(MESSAGES) if chunk.delta]}


@case
def tools() -> Any:
    """The calls of one answer, run at once."""
    answer = model().predict_and_call([ADD], user_msg=PROMPT, allow_parallel_tool_calls=True)
    return {"text": "; ".join(str(source.raw_output) for source in answer.sources)}


@case
async def agent() -> Any:
    return {"text": str(await FunctionAgent(tools=[ADD], llm=model(), streaming=False).run(PROMPT))}


@case
async def agent_streamed() -> Any:
    """The agent's words as the model says them."""
    said = ""
    run = FunctionAgent(tools=[ADD], llm=model()).run(PROMPT)
    async for event in run.stream_events():
        if isinstance(event, AgentStream):
            said += event.delta
    assert str(await run) in said
    return {"text": said}


@case
def schema_by_function() -> Any:
    value = model().structured_predict(Person, PromptTemplate("{asked}"), asked=PROMPT)
    return {"value": value.model_dump()}


@case
def schema_by_response_format() -> Any:
    value = model(structured=True).structured_predict(Person, PromptTemplate("{asked}"), asked=PROMPT)
    return {"value": value.model_dump()}


@case
def schema_streamed() -> Any:
    """A structured answer as it grows."""
    partial = model(structured=True).stream_structured_predict(Person, PromptTemplate("{asked}"), asked=PROMPT)
    values = [value.model_dump() for value in partial]
    return {"value": values[-1], "partial": values}


@case
def image() -> Any:
    blocks = [TextBlock(text=PROMPT), ImageBlock(path=IMAGE, image_mimetype="image/png")]
    return {"text": model().chat([ChatMessage(role="user", blocks=blocks)]).message.content}


main()
