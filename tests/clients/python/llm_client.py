"""
llm, the command: configured as its documentation says for a server like OpenAI's.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from case import API_KEY, BASE_URL, IMAGE, MODEL, PROMPT, case, main, ran

FUNCTIONS = '''
def add(a: int, b: int) -> int:
    "Add two numbers."
    return a + b
'''


def llm(*arguments: str) -> str:
    """Run it and return what it wrote."""
    home = Path(os.environ["HOME"])
    model = {"model_id": "claude", "model_name": MODEL, "api_base": BASE_URL, "api_key_name": "claudeproxy"}
    can = {"supports_schema": True, "supports_tools": True, "vision": True}
    # JSON is YAML.
    (home / "extra-openai-models.yaml").write_text(json.dumps([{**model, **can}]))
    (home / "keys.json").write_text(json.dumps({"claudeproxy": API_KEY}))
    command = [sys.executable, "-m", "llm", "prompt", "-m", "claude", PROMPT, *arguments]
    return ran(command, LLM_USER_PATH=str(home)).strip()


@case
def chat() -> Any:
    return {"text": llm("--no-stream")}


@case
def stream() -> Any:
    return {"text": llm()}


@case
def continued() -> Any:
    """A second question in the same conversation."""
    llm()
    return {"text": llm("--continue")}


@case
def tools() -> Any:
    return {"text": llm("--functions", FUNCTIONS)}


@case
def tools_whole() -> Any:
    return {"text": llm("--no-stream", "--functions", FUNCTIONS)}


@case
def schema() -> Any:
    return {"value": json.loads(llm("--schema", "name, age int"))}


@case
def image() -> Any:
    return {"text": llm("-a", str(IMAGE))}


main()
