"""
What was measured, as a table and as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, field, frozen

__all__ = ["Figure", "Row", "table", "write"]


@frozen
class Figure:
    """
    One number, and what it should be.
    """

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    goal: float | None = None
    """What is hoped for, in the same direction."""

    @property
    def bound(self) -> str:
        """
        The bound in words; empty when there is none.
        """
        if self.at_most is not None:
            return f"<= {_number(self.at_most)}"
        return "" if self.at_least is None else f">= {_number(self.at_least)}"

    @property
    def met(self) -> bool | None:
        """
        Whether the bound holds; None when there is none.
        """
        if self.at_most is not None:
            return self.value <= self.at_most
        return None if self.at_least is None else self.value >= self.at_least


@frozen
class Row:
    """
    One measurement with all its figures.
    """

    key: str
    title: str
    figures: Sequence[Figure]
    notes: Sequence[str] = ()
    samples: Mapping[str, Any] = field(factory=dict)
    """What the figures were made from."""


def table(rows: Iterable[Row]) -> str:
    """
    Render rows for a terminal.
    """
    cells = [("", "figure", "measured", "bound", "goal", "")]
    notes = []
    for row in rows:
        cells.append((f"({row.key})", row.title, "", "", "", ""))
        notes += [f"({row.key}) {note}" for note in row.notes]
        for figure in row.figures:
            goal = "" if figure.goal is None else _number(figure.goal)
            verdict = {True: "ok", False: "MISSED", None: ""}[figure.met]
            cells.append(
                ("", f"  {figure.name}", f"{_number(figure.value)} {figure.unit}", figure.bound, goal, verdict)
            )
    widths = [max(len(line[index]) for line in cells) for index in range(6)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join([*lines, "", *notes])


def write(path: Path, machine: Mapping[str, Any], rows: Iterable[Row]) -> None:
    """
    Write all figures and samples as JSON.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    found = [{**asdict(row), "met": [figure.met for figure in row.figures]} for row in rows]
    path.write_text(json.dumps({"machine": dict(machine), "rows": found}, indent=2) + "\n")


def _number(value: float) -> str:
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
