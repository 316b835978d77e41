"""
Instructor: each of its modes that OpenAI's chat completions have.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import instructor
from case import API_KEY, BASE_URL, IMAGE, MODEL, PROMPT, Person, case, main
from instructor import Mode
from openai import AsyncOpenAI, OpenAI

MESSAGES: list[Any] = [{"role": "user", "content": PROMPT}]


def client(mode: Mode) -> Any:
    """Return a client of one mode."""
    return instructor.from_openai(OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0), mode=mode, model=MODEL)


def ask(mode: Mode, messages: list[Any] = MESSAGES) -> Any:
    """Ask for a person, at the first try."""
    value = client(mode).create(response_model=Person, messages=messages, max_retries=0)
    assert isinstance(value, Person)
    return {"value": value.model_dump()}


def ask_in_parts(mode: Mode) -> Any:
    """Ask for a person that fills while it is streamed."""
    parts = [part.model_dump() for part in client(mode).create_partial(response_model=Person, messages=MESSAGES)]
    return {"value": parts[-1], "partial": parts}


@case
def tools() -> Any:
    return ask(Mode.TOOLS)


@case
def tools_streamed() -> Any:
    return ask_in_parts(Mode.TOOLS)


@case
def parallel_tools() -> Any:
    """Several objects by several calls in one answer."""
    people = client(Mode.PARALLEL_TOOLS).create(response_model=Iterable[Person], messages=MESSAGES, max_retries=0)
    return {"values": [person.model_dump() for person in people]}


@case
def iterable() -> Any:
    """Several objects in one list, each as soon as it is complete."""
    people = client(Mode.TOOLS).create_iterable(response_model=Person, messages=MESSAGES)
    return {"values": [person.model_dump() for person in people]}


@case
def json() -> Any:
    return ask(Mode.JSON)


@case
def json_streamed() -> Any:
    return ask_in_parts(Mode.JSON)


@case
def json_schema() -> Any:
    return ask(Mode.JSON_SCHEMA)


@case
def json_schema_streamed() -> Any:
    return ask_in_parts(Mode.JSON_SCHEMA)


@case
def md_json() -> Any:
    return ask(Mode.MD_JSON)


@case
async def tools_async() -> Any:
    own = AsyncOpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0)
    value = await instructor.from_openai(own, mode=Mode.TOOLS).create(
        model=MODEL, response_model=Person, messages=MESSAGES, max_retries=0
    )
    return {"value": value.model_dump()}


@case
def image() -> Any:
    picture = instructor.Image.from_path(IMAGE)
    return ask(Mode.TOOLS, [{"role": "user", "content": [PROMPT, picture]}])


main()
