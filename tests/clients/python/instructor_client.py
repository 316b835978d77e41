"""
Instructor: each of its modes that OpenAI's chat completions have.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import instructor
from case import API_KEY, BASE_URL, IMAGE, MODEL, Person, case, documented, main, printed
from instructor import Mode
from openai import AsyncOpenAI, OpenAI


def client(mode: Mode) -> Any:
    """Return a client of one mode."""
    return instructor.from_openai(OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0), mode=mode, model=MODEL)


def user(content: Any) -> list[Any]:
    """Return the messages of a new conversation."""
    return [{"role": "user", "content": content}]


def ask(mode: Mode, content: Any) -> Any:
    """Ask for a person, with no second try."""
    return {"value": client(mode).create(response_model=Person, messages=user(content), max_retries=0).model_dump()}


def grow(mode: Mode, content: Any) -> Any:
    """Ask for a person that grows."""
    partial = [part.model_dump() for part in client(mode).create_partial(response_model=Person, messages=user(content))]
    return {"value": partial[-1], "partial": partial}


@case
def tools(prompt: str) -> Any:
    return ask(Mode.TOOLS, prompt)


@case
async def tools_async(prompt: str) -> Any:
    own = instructor.from_openai(AsyncOpenAI(base_url=BASE_URL, api_key=API_KEY), mode=Mode.TOOLS, model=MODEL)
    return {"value": (await own.create(response_model=Person, messages=user(prompt), max_retries=0)).model_dump()}


@case
def tools_streamed(prompt: str) -> Any:
    return grow(Mode.TOOLS, prompt)


@case
def parallel_tools(prompt: str) -> Any:
    """Several objects by several calls in one answer."""
    people = client(Mode.PARALLEL_TOOLS).create(response_model=Iterable[Person], messages=user(prompt), max_retries=0)
    return {"values": [person.model_dump() for person in people]}


@case
def iterable(prompt: str) -> Any:
    """Several objects in one list, each as soon as it is complete."""
    people = client(Mode.TOOLS).create_iterable(response_model=Person, messages=user(prompt))
    return {"values": [person.model_dump() for person in people]}


@case
def json_mode(prompt: str) -> Any:
    return ask(Mode.JSON, prompt)


@case
def json_mode_streamed(prompt: str) -> Any:
    return grow(Mode.JSON, prompt)


@case
def json_schema(prompt: str) -> Any:
    return ask(Mode.JSON_SCHEMA, prompt)


@case
def json_schema_streamed(prompt: str) -> Any:
    return grow(Mode.JSON_SCHEMA, prompt)


@case
def md_json(prompt: str) -> Any:
    return ask(Mode.MD_JSON, prompt)


@case
def image(prompt: str) -> Any:
    return ask(Mode.TOOLS, [prompt, instructor.Image.from_path(IMAGE)])


@case
def recipe(prompt: str) -> Any:
    return {"text": printed(documented("Instructor", "python"))}


main()
