"""
aider, the command, in a directory of its own with one file to change.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from case import API_KEY, BASE_URL, IMAGE, MODEL, PROMPT, case, main, ran

FILE = Path(os.environ["HOME"]) / "work" / "greeting.py"


def aider(*arguments: str) -> str:
    """Run it on the file and return what it wrote."""
    FILE.parent.mkdir()
    FILE.write_text('print("hello")\n')
    # What aider would otherwise ask the network for: what the model can do, and what it costs.
    about = {"litellm_provider": "openai", "mode": "chat", "supports_vision": True}
    limits = {"max_input_tokens": 200_000, "max_output_tokens": 64_000}
    (FILE.parent / "models.json").write_text(json.dumps({f"openai/{MODEL}": {**about, **limits}}))
    options = ["--yes-always", "--no-git", "--no-check-update", "--analytics-disable", "--no-show-release-notes"]
    options += ["--no-show-model-warnings", "--no-pretty", "--no-detect-urls", "--no-suggest-shell-commands"]
    options += ["--model-metadata-file", "models.json", "--model", f"openai/{MODEL}", "--message", PROMPT]
    settings = {"OPENAI_API_BASE": BASE_URL, "OPENAI_API_KEY": API_KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return ran([sys.executable, "-m", "aider", *options, *arguments], FILE.parent, **settings)


@case
def ask() -> Any:
    """A question about the file, which stays as it is."""
    return {"text": aider("--chat-mode", "ask", FILE.name), "file": FILE.read_text()}


@case
def edit() -> Any:
    return {"text": aider("--edit-format", "diff", "--no-stream", FILE.name), "file": FILE.read_text()}


@case
def edit_streamed() -> Any:
    return {"text": aider("--edit-format", "diff", "--stream", FILE.name), "file": FILE.read_text()}


@case
def image() -> Any:
    return {"text": aider("--chat-mode", "ask", FILE.name, str(IMAGE)), "file": FILE.read_text()}


main()
