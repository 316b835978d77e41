"""
The guard behind every test sees what pytest-twisted lets pass.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

CULPRITS = """
import sys
import pytest_twisted
from twisted.internet import defer, protocol, reactor
from twisted.logger import Logger
from twisted.python.failure import Failure

def test_is_clean():
    pass

def test_expects_its_failure(logged_failures):
    Logger().failure("expected", Failure(KeyError("expected")))
    assert [each.failure.type for each in logged_failures.flush(KeyError)] == [KeyError]

@pytest_twisted.ensureDeferred
async def test_waits_for_its_call():
    done = defer.Deferred()
    reactor.callLater(0.01, done.callback, None)
    await done

def test_logs_a_failure():
    Logger().failure("oh no", Failure(KeyError("logged")))

def test_logs_something_critical():
    Logger().critical("on fire")

def test_drops_an_error():
    defer.fail(KeyError("dropped"))

def test_flushes_another_failure(logged_failures):
    Logger().failure("oh no", Failure(KeyError("other")))
    logged_failures.flush(ValueError)

def test_leaves_a_call():
    reactor.callLater(60, print)

def test_leaves_a_port():
    reactor.listenTCP(0, protocol.Factory(), interface="127.0.0.1")

def test_leaves_a_child():
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    reactor.spawnProcess(protocol.ProcessProtocol(), sys.executable, command, env={})
"""


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a run of the culprits says of each: ``PASSED``, or why not."""
    file = tmp_path_factory.mktemp("culprits") / "test_culprits.py"
    file.write_text(CULPRITS)
    options = ["-v", "-p", "tests.conftest", "-p", "no:cacheprovider", "--import-mode=importlib"]
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", *options, str(file)]
    repository = Path(__file__).parents[2]
    run = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    passed = dict(re.findall(r"::test_(\w+) (PASSED)", run.stdout))
    reasons = re.findall(r"_+ ERROR at teardown of test_(\w+) _+\n((?:.*\n)*?)(?=_{5}|=+ short)", run.stdout)
    return {**passed, **dict(reasons)}


@pytest.mark.parametrize("name", ["is_clean", "expects_its_failure", "waits_for_its_call"])
def test_a_clean_test_passes(name: str, verdicts: dict[str, str]) -> None:
    """Nothing is held against a test that leaves nothing, nor for failures that it flushed."""
    assert verdicts[name] == "PASSED"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("logs_a_failure", "logged: oh no"),
        ("logs_something_critical", "logged: on fire"),
        ("drops_an_error", "logged: Unhandled error in Deferred"),
        ("flushes_another_failure", "logged: oh no"),
        ("leaves_a_call", "left a delayed call: "),
        ("leaves_a_port", "left open: "),
        ("leaves_a_child", "left the process "),
    ],
)
def test_a_culprit_is_told_what_it_did(name: str, reason: str, verdicts: dict[str, str]) -> None:
    """The test that did it fails, with the reason, and not the one after it."""
    assert reason in verdicts[name]
