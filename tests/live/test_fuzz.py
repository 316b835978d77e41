"""
The API as its own document describes it: thousands of requests made of that document, to a daemon with both backends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import randrange
from typing import Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from claudeproxy.testing.openai import StubOpenAI
from tests.helpers import scripted_cli, scripted_log
from tests.live.daemon import Daemon

CASES = max(60, int(os.environ.get("FUZZ_CASES", "0")) // 10)
"""Random requests per operation; each operation also gets hundreds that probe the edges of its parameters."""

SEED = os.environ.get("FUZZ_SEED") or ("1" if "FUZZ_CASES" not in os.environ else str(randrange(2**32)))
"""The suite makes the same requests each time, ``make fuzz`` others; schemathesis prints it with what it finds."""

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)

CONFIG = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "4xx", "502", "503", "504"]
"""
"""Of the statuses of servers in need, those that the documentation promises; 500 is none of them."""


def schemathesis(url: str, directory: Path) -> tuple[str, dict[str, Any]]:
    """
    Let schemathesis loose on the daemon; return what it says and what it reports.
    """
    (directory / "schemathesis.toml").write_text(CONFIG)
    arguments = {
        "--checks": ",".join(CHECKS),
        "--phases": "examples,coverage,fuzzing",
        "--max-examples": str(CASES),
        "--seed": SEED,
        "--header": "Authorization: Bearer secret",
        "--request-timeout": "10",
        "--generation-with-security-parameters": "false",
        "--generation-database": "none",
        "--report": "json",
        "--report-json-path": "report.json",
    }
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
        *(word for pair in arguments.items() for word in pair),
        *("--continue-on-failure", "--no-color"),
    ]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr, json.loads((directory / "report.json").read_text())


@pytest_twisted.ensureDeferred
async def test_the_document_tells_the_truth(stub_openai: StubOpenAI, tmp_path: Path) -> None:
    """
    Whatever the document allows or forbids, it is answered as the document says, and no request breaks the server.
    """
    cli = scripted_cli(tmp_path)
    environ = {
        # The same few keys come with very different requests.
        "IDEMPOTENCY_TTL_MS": "1",
        "RATE_LIMIT_PER_IP": "0",
        "RATE_LIMIT_PER_SESSION": "0",
        "MAX_CONCURRENT_PER_KEY": "0",
        "API_KEY": "secret",
        "ANTHROPIC_API_KEY": "sk-ant-test",
        "CLAUDE_PATH": cli,
        "MODEL_MAP": "*=sonnet",
        "OPENAI_API_KEY": "sk-upstream",
        "OPENAI_BASE_URL": stub_openai.base_url,
        "STATE_DIR": str(tmp_path / "state"),
        "LOG_FORMAT": "json",
    }
    daemon = Daemon.start(reactor, environ)
    try:
        said, report = await deferToThread(schemathesis, await daemon.url(), tmp_path)
    finally:
        await daemon.kill()
    accesses = [line for line in daemon.log() if line["namespace"] == "claudeproxy.access"]
    cases = report["test_cases"]["generated"]
    print(
        f"\n{cases} cases:",
        dict(Counter(f"{each.get('backend', 'none')} {each['status']}" for each in accesses)),
    )

    assert 0 == report["exit_code"], said
    assert report["operations"]["tested"] == report["operations"]["total"]
    assert cases > 300
    assert {"claude-code", "openai-passthrough"} <= {each.get("backend") for each in accesses}
    assert len([each for each in accesses if each.get("error") == "idempotency_key_reused"]) < cases / 20
    assert any(entry["event"] == "start" for entry in scripted_log(cli)) and stub_openai.requests
    assert "Traceback" not in daemon.out + daemon.err
