"""
The documentation says all that there is, and nothing that there is not.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from twisted.internet.task import Clock

from claudeproxy import errors
from claudeproxy.config import SETTINGS, Config
from claudeproxy.config.aliases import ALIASES
from claudeproxy.config.document import reference, sample
from claudeproxy.errors import ClaudeProxyError
from claudeproxy.ops.admission import Admission
from claudeproxy.ops.drain import Drain
from claudeproxy.testing.directives import BadDirective, Directive
from claudeproxy.web.app import ProxyApp
from claudeproxy.wire.openai_chat.schema import ChatCompletionRequest
from claudeproxy.wire.openapi import document

PROJECT = Path(__file__).parents[1]
DOCS = PROJECT / "docs"
PAGES = [PROJECT / "README.md", *sorted(DOCS.rglob("*.md"))]

FOREIGN = {
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "CLAUDE_CONFIG_DIR",
    "DENY",
    "GET",
    "HEAD",
    "HOME",
    "LANG",
    "OPTIONS",
    "PATH",
    "POST",
    "SIGHUP",
    "TERM",
}
"""What the pages write as they write settings, and what is none."""


PARTS = {"text", "refusal", "image_url", "file", "input_audio"}
"""What a message's content is made of."""

FAULTS = (
    "CLI missing",
    "CLI not executable",
    "CLI of another version",
    "CLI dies at start",
    "CLI dies mid-answer",
    "CLI hangs before an answer",
    "CLI hangs during an answer",
    "CLI writes garbage",
    "CLI writes a line of 20 MiB",
    "CLI floods stderr",
    "CLI ignores TERM",
    "CLI leaves a grandchild",
    "no room for a request's body",
    "no directory for Claude Code's files",
    "state directory cannot be written",
    "upstream refuses",
    "upstream resets",
    "upstream stalls while connecting",
    "upstream stalls in TLS",
    "upstream stalls in the request's body",
    "upstream stalls before or in its head",
    "upstream stalls in its body",
    "upstream sends a broken chunk",
    "upstream sends 200 with an error body",
    "client resets in its head",
    "client resets in its body",
    "client resets while it waits",
    "client resets while it is answered",
    "client sends half a body",
    "client sends a head slowly",
    "client sends a body slowly",
    "client sends 10,000 headers",
    "clock set forward",
    "clock set back",
)
"""Promises that the table must hold; it may hold more."""


def rows(page: str) -> Iterator[list[str]]:
    """
    Return the cells of all table rows of a reference page, without backticks.
    """
    for line in (DOCS / "reference" / page).read_text().splitlines():
        if line.startswith("| `"):
            yield [cell.strip().replace("`", "") for cell in line.strip("|").split(" | ")]


def faults() -> Iterator[tuple[str, list[str]]]:
    """
    Return the rows of the tables of faults: the fault, and the tests that it names.
    """
    for line in (DOCS / "reference" / "faults.md").read_text().splitlines():
        if line.startswith("| ") and not line.startswith("| fault |"):
            fault, outcome, operator, tests = (cell.strip() for cell in line.strip("|").split(" | "))
            assert outcome and operator, line
            yield fault, re.findall(r"`([^`]+)`", tests)


def has_test(name: str) -> bool:
    """
    Whether there is a test of this name: ``file::test``, or ``file::test[case]`` where the file writes down the case.
    """
    file, _, test = name.partition("::")
    function, _, case = test.partition("[")
    functions, written = names_in(file)
    return function in functions and (not case or case.removesuffix("]") in written)


@cache
def names_in(file: str) -> tuple[set[str], set[object]]:
    """
    Return the functions of a file of tests, and all that is written down in it.
    """
    tree = ast.parse((PROJECT / "tests" / file).read_text())
    functions = {each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    return functions, {each.value for each in ast.walk(tree) if isinstance(each, ast.Constant)}


def public_errors(error: type[ClaudeProxyError] = ClaudeProxyError) -> Iterator[type[ClaudeProxyError]]:
    """
    Return every class that an answer can come from.
    """
    for subclass in error.__subclasses__():
        if not subclass.__name__.startswith("_"):
            yield subclass
        yield from public_errors(subclass)


def app() -> ProxyApp:
    """
    Return the web side without anything behind it.
    """
    config, clock, nothing = Config(), Clock(), cast(Any, None)
    return ProxyApp(
        keys=nothing,
        admission=Admission(clock, config.limits),
        chat_backend=nothing,
        relays={},
        catalog=nothing,
        router=nothing,
        server=config.server,
        claude=config.claude,
        drain=Drain(clock),
        clock=clock,
    )


def test_every_setting_is_documented() -> None:
    """
    The reference of the settings and the sample file are what the table makes; ``make reference`` writes them.
    """
    assert (DOCS / "reference" / "configuration.md").read_text() == reference()
    assert (DOCS / "reference" / "claudeproxy.toml").read_text() == sample()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_pages_name_real_settings(page: Path) -> None:
    """
    What a page writes like a setting is one.
    """
    text = page.read_text()
    named = set(re.findall(r"`([A-Z][A-Z_]{2,})(?:=[^`]*)?`", text)) | set(re.findall(r"\b([A-Z][A-Z_]{2,})=", text))
    known = {
        *SETTINGS,
        *(alias.name for alias in ALIASES),
        *(f"{name}_FILE" for name, row in SETTINGS.items() if row.kind.secret),
        *FOREIGN,
    }
    assert {name.removeprefix("CLAUDEPROXY_") for name in named} - known == set()


def test_every_error_is_documented() -> None:
    """
    The table of errors has each code with its status and type, and no other.
    """
    documented = [(code, int(status), kind) for code, status, kind, _ in rows("errors.md")]
    assert sorted(documented) == sorted({(error.code, error.status, error.type) for error in public_errors()})


def test_every_error_is_in_the_document() -> None:
    """
    The OpenAPI document says of every code where it can come from.
    """
    told = json.dumps(document("1"))
    assert [error.code for error in public_errors() if f"`{error.code}`" not in told] == []


def test_every_error_is_exported() -> None:
    """
    An error class that the documentation has can be imported by its users.
    """
    assert {error.__name__ for error in public_errors()} <= set(errors.__all__)


def test_every_fault_is_documented() -> None:
    """
    The table of faults has each that is promised for, and the tests that it names are there.
    """
    documented = dict(faults())
    assert [fault for fault in FAULTS if fault not in documented] == []
    assert [fault for fault, tests in documented.items() if not tests] == []
    assert [test for tests in documented.values() for test in tests if not has_test(test)] == []


def test_every_route_is_documented() -> None:
    """
    The table of routes has every path, with whether it asks for a key, and no other.
    """
    routes = app().routes
    real = {
        re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule): "no" if rule.rule in routes.public_paths else "yes"
        for rule in routes.klein.url_map.iter_rules()
    }
    documented = {
        row[0].removeprefix("/v1"): row[2] for row in rows("routes.md") if len(row) == 4 and row[0].startswith("/")
    }
    assert documented == real


def test_every_field_of_the_access_log_is_documented() -> None:
    """
    The table of the access log has each field that is written, and no other.
    """
    page = (DOCS / "reference" / "log.md").read_text().partition("## The access log")[2]
    cells = re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
    documented = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}

    source = ast.parse((PROJECT / "claudeproxy" / "web" / "access_log.py").read_text())
    (function,) = (each for each in source.body if isinstance(each, ast.FunctionDef) and each.name == "_fields")
    keys = [key for each in ast.walk(function) if isinstance(each, ast.Dict) for key in each.keys]
    keys += [each.slice for each in ast.walk(function) if isinstance(each, ast.Subscript)]
    written = {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    assert documented == written


def test_every_directive_is_documented() -> None:
    """
    The table of the stubs has each key that they know, and no other.
    """
    with pytest.raises(BadDirective, match="it knows") as raised:
        Directive.parse("[[stub unheard-of]]")
    known = str(raised.value).partition("it knows ")[2].split(", ")
    documented = [row[0].partition("=")[0] for row in rows("stubs.md") if "[[" not in row[0]]
    assert sorted(documented) == sorted(known)


def test_every_parameter_of_a_chat_is_documented() -> None:
    """
    The page on chat completions has each parameter that is decoded, and no other.
    """
    known = {field.encode_name for field in msgspec.structs.fields(ChatCompletionRequest)}
    documented = [row[0] for row in rows("chat-completions.md") if len(row) == 3]
    assert sorted(documented) == sorted(known | PARTS)


def test_every_dependency_has_a_reason() -> None:
    """
    What setup.py requires is explained, and what is explained is required.
    """
    setup = (PROJECT / "setup.py").read_text()
    required = set(re.findall(r'"([A-Za-z][\w.-]*)(?:\[\w+\])?[=><]=[\w.]+"', setup)) | {"build"}
    explained = re.findall(
        r"^\| ([A-Za-z][\w.-]+)(?:\[\w+\])? \|", (DOCS / "explanation/dependencies.md").read_text(), re.M
    )
    assert set(explained) - {"package"} == required


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    """
    Every relative link of a page leads to a file.
    """
    links = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_can_be_reached() -> None:
    """
    The index leads to every page.
    """
    linked = {(DOCS / link).resolve() for link in re.findall(r"\]\(([^)#]+)", (DOCS / "index.md").read_text())}
    pages = {page for page in DOCS.rglob("*.md") if page.parent.name != "newsfragments" and page.name != "index.md"}
    assert pages <= linked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_commands_exist(page: Path) -> None:
    """
    Every ``make`` target that a page names is in the Makefile.
    """
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^    )(?:\w+=\S+ )*make ([a-z]+)\b", page.read_text(), re.MULTILINE)) <= targets


def test_news_fragments_have_types() -> None:
    """
    A news fragment is named by issue and type, and is not empty.
    """
    fragments = [path for path in (DOCS / "newsfragments").iterdir() if path.name != "README.md"]
    assert fragments
    for path in fragments:
        assert re.fullmatch(r"\d+\.(security|incompat|feature|bugfix|doc|misc)(\.\d+)?\.md", path.name)
        assert path.read_text().strip()
