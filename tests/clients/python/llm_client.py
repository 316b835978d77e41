"""
llm, the command: configured as its documentation says for a server like OpenAI's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from case import API_KEY, IMAGE, case, documented, main, ran, scratch

FUNCTIONS = """
def add(a: int, b: int) -> int:
    "Add two numbers."
    return a + b
"""


def llm(*arguments: str, home: Path | None = None) -> str:
    """Run it and return what it wrote."""
    home = home or scratch()
    (home / "extra-openai-models.yaml").write_text(documented("llm", "yaml"))
    (home / "keys.json").write_text(json.dumps({"claudeproxy": API_KEY}))
    return ran([sys.executable, "-m", "llm", "prompt", "-m", "claude", *arguments], home, LLM_USER_PATH=str(home))


@case
def chat(prompt: str) -> Any:
    return {"text": llm(prompt, "--no-stream")}


@case
def stream(prompt: str) -> Any:
    return {"text": llm(prompt)}


@case
def continued(prompt: str) -> Any:
    """A second question in the same conversation."""
    home = scratch()
    llm(prompt, home=home)
    return {"text": llm(prompt, "--continue", home=home)}


@case
def tools(prompt: str) -> Any:
    return {"text": llm(prompt, "--no-stream", "--functions", FUNCTIONS)}


@case
def tools_streamed(prompt: str) -> Any:
    return {"text": llm(prompt, "--functions", FUNCTIONS)}


@case
def own_tool(prompt: str) -> Any:
    """A function that comes with it."""
    return {"text": llm(prompt, "--tool", "llm_version")}


@case
def schema(prompt: str) -> Any:
    return {"value": json.loads(llm(prompt, "--schema", "name, age int"))}


@case
def reasoning(prompt: str) -> Any:
    """It has no place for what the model thought."""
    return {"text": llm(prompt, "-o", "reasoning_effort", "low")}


@case
def image(prompt: str) -> Any:
    return {"text": llm(prompt, "-a", str(IMAGE))}


main()
