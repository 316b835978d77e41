"""
The layers of the house, read from the imports of every module, those inside functions included.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from attrs import frozen

ALLOWED = {
    "_version": (),
    "errors": (),
    "interfaces": (),
    "core": ("errors", "interfaces"),
    "config": ("core", "errors"),
    "wire": ("core", "errors", "interfaces"),
    "ops": ("wire", "core", "config", "errors", "interfaces", "_version"),
    "store": ("ops", "wire", "core", "config", "errors", "interfaces"),
    "backends": ("ops", "wire", "core", "config", "errors", "interfaces", "_version"),
    "concerns": ("backends", "core", "config"),
    "proxy_variables": ("config",),
    "web": ("store", "ops", "wire", "core", "config", "errors", "interfaces", "_version"),
}
"""Which parts of claudeproxy a part may import, besides itself; those not named here may import all."""

ROOMS = {"answers": (), "requests": ("answers",), "processes": ("requests", "answers")}
"""Which rooms of the Claude Code backend a room may import, besides itself."""

PURE = ("errors", "interfaces", "core", "wire", "config")
"""The parts that run without a reactor."""

INPUT_AND_OUTPUT = ("twisted", "klein", "treq", "asyncio", "socket", "subprocess", "threading")


@frozen
class Import:
    """
    One imported name, by whom.
    """

    module: str
    """The importing module's dotted name."""
    line: int
    name: str
    """The dotted name that is imported, attribute included: ``twisted.internet.reactor``."""
    at_module_level: bool
    for_types_only: bool
    """Below ``if TYPE_CHECKING``, so that nothing is imported when the program runs."""

    @property
    def part(self) -> str:
        """The part of claudeproxy that imports."""
        return _part(self.module)

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.name}"


def _part(name: str) -> str:
    part = name.split(".")[1] if "." in name else ""
    return "_version" if part == "__version__" else part


def _package_directory() -> Path:
    spec = find_spec("claudeproxy")
    assert spec is not None and spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations)))


def _modules() -> dict[str, ast.Module]:
    root = _package_directory()
    modules = {}
    for path in sorted(root.rglob("*.py")):
        parts = ("claudeproxy", *path.relative_to(root).with_suffix("").parts)
        name = ".".join(parts).removesuffix(".__init__")
        modules[name] = ast.parse(path.read_text(), filename=str(path))
    return modules


def _imports_of(
    module: str, node: ast.AST, at_module_level: bool = True, for_types_only: bool = False
) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        names: list[str] = []
        if isinstance(child, ast.Import):
            names = [alias.name for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{module}:{child.lineno} is a relative import, which hides its layer"
            names = [f"{child.module}.{alias.name}" for alias in child.names]
        for name in names:
            yield Import(module, child.lineno, name, at_module_level, for_types_only)
        inner = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        types = isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"
        yield from _imports_of(module, child, at_module_level and not inner, for_types_only or types)


MODULES = _modules()
IMPORTS = [
    each
    for name, tree in MODULES.items()
    for each in _imports_of(name, tree)
    # The seams are the floor of the house, but say in types what passes through them.
    if not (name == "claudeproxy.interfaces" and each.for_types_only)
]
OWN = [each for each in IMPORTS if each.name.split(".")[0] == "claudeproxy"]


def _of(imports: list[Import], *roots: str) -> list[Import]:
    return [each for each in imports if any(f"{each.name}.".startswith(f"{root}.") for root in roots)]


def _told(imports: list[Import]) -> list[str]:
    return [str(each) for each in imports]


def test_the_walk_finds_the_house() -> None:
    """The rules below are about something: every part is there and imports were found in it."""
    assert {"core", "wire", "backends", "web", "testing", "config", "service"} <= {_part(name) for name in MODULES}
    assert {"core", "wire", "backends", "web", "testing", "service"} <= {each.part for each in OWN}


@pytest.mark.parametrize("part", ALLOWED)
def test_imports_go_down_only(part: str) -> None:
    """A part imports itself and what lies below it, nothing else of claudeproxy."""
    allowed = (part, *ALLOWED[part])

    assert _told([each for each in OWN if each.part == part and _part(each.name) not in allowed]) == []


@pytest.mark.parametrize("room", ROOMS)
def test_the_rooms_of_claude_code_are_in_layers(room: str) -> None:
    """What decides who serves a turn is above what serves it, and that above what it is made of."""
    house = "claudeproxy.backends.claude"
    allowed = [f"{house}.{each}" for each in (room, *ROOMS[room])]
    inside = [each for each in _of(IMPORTS, house) if f"{each.module}.".startswith(f"{house}.{room}.")]

    assert inside
    assert _told([each for each in inside if each not in _of(inside, *allowed)]) == []


def test_every_part_has_a_layer() -> None:
    """A new package must be given its place in the layers."""
    top = {"", "__main__", "tap", "service", "testing"}

    assert {_part(name) for name in MODULES} <= {*ALLOWED, *top}


def test_only_the_top_imports_the_doubles() -> None:
    """Nothing that serves requests knows the stubs."""
    top = ("testing", "service", "tap")

    assert _told([each for each in OWN if _part(each.name) == "testing" and each.part not in top]) == []


def test_the_pure_parts_do_no_input_or_output() -> None:
    """Values, rules and codecs import neither Twisted nor another way to reach the world."""
    assert _told([each for each in _of(IMPORTS, *INPUT_AND_OUTPUT) if each.part in PURE]) == []


def test_only_the_web_knows_klein() -> None:
    """Klein, whose import installs a reactor, stays in one package, and with it Twisted's web server."""
    server = _of(IMPORTS, "twisted.web.server", "twisted.web.resource")

    assert _told([each for each in _of(IMPORTS, "klein") if each.part != "web"]) == []
    assert _told([each for each in server if each.part not in ("web", "testing")]) == []


def test_nobody_imports_the_reactor_at_module_level() -> None:
    """The reactor is an argument; only the tap fetches it, inside a function."""
    fetched = _of(IMPORTS, "twisted.internet.reactor")

    assert _told([each for each in fetched if each.at_module_level or each.part != "tap"]) == []


def test_importing_the_package_imports_nothing_else() -> None:
    """``import claudeproxy`` fetches the version, not Twisted."""
    assert {each.name for each in IMPORTS if each.module == "claudeproxy"} == {"claudeproxy._version.__version__"}


def test_nothing_can_reach_a_shell() -> None:
    """Mission X1: no module runs a command line, and every process is spawned by the reactor."""
    assert _told(_of(IMPORTS, "subprocess", "pty", "os.system", "os.popen")) == []
    for name, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword):
                assert node.arg != "shell", f"{name}:{node.value.lineno} passes shell="
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
                assert node.attr not in ("system", "popen"), f"{name}:{node.lineno} names os.{node.attr}"
            if isinstance(node, ast.Constant):
                assert node.value not in ("sh", "bash", "/bin/sh", "/bin/bash"), f"{name}:{node.lineno} names a shell"
