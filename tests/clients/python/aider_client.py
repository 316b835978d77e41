"""
aider, the command, in a directory with one file to change.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from case import API_KEY, BASE_URL, IMAGE, MODEL, case, main, ran, scratch

FILE = "greeting.py"


def aider(prompt: str, *arguments: str) -> Any:
    """Run it on the file; return what it wrote, and what is in the file then."""
    directory = scratch()
    file = directory / FILE
    file.write_text('print("hello")\n')
    # It asks the network about a model that it does not know, unless it is told.
    about = {"litellm_provider": "openai", "mode": "chat", "supports_vision": True}
    limits = {"max_input_tokens": 200_000, "max_output_tokens": 64_000}
    (directory / "models.json").write_text(json.dumps({f"openai/{MODEL}": {**about, **limits}}))
    options = ["--yes-always", "--no-git", "--no-check-update", "--analytics-disable", "--no-show-release-notes"]
    options += ["--no-show-model-warnings", "--no-pretty", "--no-detect-urls", "--no-suggest-shell-commands"]
    options += ["--model-metadata-file", "models.json", "--model", f"openai/{MODEL}", "--message", prompt, FILE]
    settings = {"OPENAI_API_BASE": BASE_URL, "OPENAI_API_KEY": API_KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    text = ran([sys.executable, "-m", "aider", *options, *arguments], directory, **settings)
    return {"text": text, "file": file.read_text()}


@case
def chat(prompt: str) -> Any:
    return aider(prompt, "--chat-mode", "ask", "--no-stream")


@case
def stream(prompt: str) -> Any:
    return aider(prompt, "--chat-mode", "ask")


@case
def edit(prompt: str) -> Any:
    return aider(prompt, "--edit-format", "diff", "--no-stream")


@case
def edit_streamed(prompt: str) -> Any:
    return aider(prompt, "--edit-format", "diff")


@case
def image(prompt: str) -> Any:
    return aider(prompt, "--chat-mode", "ask", str(IMAGE))


main()
