"""
Regular expressions that mean the same in every release of Python that the package runs on.

Possessive quantifiers and atomic groups are new in Python 3.11, and wrong in its first releases: in 3.11.2, which
Debian 12 has, a pattern with them can fail where it should match.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import claudeproxy

_ONE_CHARACTER = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
"""An escape or a class, in which every character may stand for itself."""
_NEWER = re.compile(r"[*+?}]\+|\(\?>")


def uses_newer_syntax(pattern: str) -> bool:
    """
    Whether a pattern, or a part of one, has a possessive quantifier or an atomic group.
    """
    return _NEWER.search(_ONE_CHARACTER.sub("x", pattern)) is not None


@pytest.mark.parametrize(
    "pattern", ["a*+", "a++", "a?+", "a{2,3}+", "(?>a)", r"(?:\\.[^a])*+", "[^]]*+", r"\d++b", ")*+"]
)
def test_newer_syntax_is_found(pattern: str) -> None:
    """Each of the forms, in parts of patterns, too, or the tests below would say nothing."""
    assert uses_newer_syntax(pattern)


@pytest.mark.parametrize(
    "pattern", ["a*", "a+?", r"a\++", r"\*\+", "[*+]", "[*+?+]+", r"[\]*+]", "[]*+]", "(?:a)", "a{2}b+"]
)
def test_older_syntax_is_not_taken_for_it(pattern: str) -> None:
    """Quantifiers of all Pythons, and characters that stand for themselves."""
    assert not uses_newer_syntax(pattern)


def compiled() -> Iterator[tuple[str, str]]:
    """
    Yield each compiled pattern that a module of the package has, with its name.
    """
    for module_info in pkgutil.walk_packages(claudeproxy.__path__, "claudeproxy."):
        if module_info.name.endswith(".__main__"):
            continue  # it runs when it is imported
        module = importlib.import_module(module_info.name)
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                text = value.pattern
                yield f"{module.__name__}.{name}", text if isinstance(text, str) else text.decode("latin-1")


def written() -> Iterator[tuple[str, str]]:
    """
    Yield each text in the code of the package that may be a pattern or a part of one, with its place.
    """
    root = Path(next(iter(claudeproxy.__path__)))
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
                yield f"{path.relative_to(root)}:{node.lineno}", text


def test_no_compiled_pattern_uses_newer_syntax() -> None:
    """However it was put together."""
    patterns = dict(compiled())

    assert len(patterns) > 50
    assert [] == [place for place, pattern in patterns.items() if uses_newer_syntax(pattern)]


def test_no_text_in_the_code_uses_newer_syntax() -> None:
    """Patterns that are only compiled when they are needed stand in the code all the same."""
    texts = list(written())

    assert len(texts) > 1000
    assert [] == [place for place, text in texts if uses_newer_syntax(text)]
