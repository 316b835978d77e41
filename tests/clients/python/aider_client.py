"""
aider, the command, in a directory with one file to change.
"""

from __future__ import annotations

import sys
from typing import Any

from case import API_KEY, BASE_URL, IMAGE, MODEL, case, documented, main, ran, scratch

FILE = "greeting.py"


def aider(prompt: str, *arguments: str) -> Any:
    """Run it on the file; return what it wrote, and what is in the file then."""
    directory = scratch()
    file = directory / FILE
    file.write_text('print("hello")\n')
    (directory / ".aider.model.metadata.json").write_text(documented("aider", "json"))
    options = ["--yes-always", "--no-git", "--no-check-update", "--analytics-disable", "--no-show-release-notes"]
    options += ["--no-show-model-warnings", "--no-pretty", "--no-detect-urls", "--no-suggest-shell-commands"]
    options += ["--model", f"openai/{MODEL}", "--openai-api-base", BASE_URL, "--openai-api-key", API_KEY]
    # Without this it looks on the network for what models cost.
    command = [sys.executable, "-m", "aider", *options, "--message", prompt, *arguments, FILE]
    text = ran(command, directory, LITELLM_LOCAL_MODEL_COST_MAP="True")
    return {"text": text, "file": file.read_text()}


@case
def chat(prompt: str) -> Any:
    return aider(prompt, "--chat-mode", "ask", "--no-stream")


@case
def stream(prompt: str) -> Any:
    return aider(prompt, "--chat-mode", "ask")


@case
def reasoning(prompt: str) -> Any:
    return aider(prompt, "--chat-mode", "ask", "--no-stream", "--reasoning-effort", "low")


@case
def reasoning_streamed(prompt: str) -> Any:
    return aider(prompt, "--chat-mode", "ask", "--reasoning-effort", "low")


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
