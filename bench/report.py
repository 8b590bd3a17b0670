"""How measurements are shown: a table for people, JSON for programs, medians over rounds."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

Figures: TypeAlias = dict[str, float]


@dataclass(slots=True)
class Report:
    """Figures by subject (a server, a runtime) over several rounds."""

    title: str
    rounds: dict[str, list[Figures]] = field(default_factory=dict)

    def add(self, subject: str, figures: Figures) -> None:
        self.rounds.setdefault(subject, []).append(figures)

    def medians(self) -> dict[str, Figures]:
        """Each subject's figures, each the median of its rounds."""
        return {
            subject: {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
            for subject, rounds in self.rounds.items()
        }

    def show(self, ratio_of: str | None = None) -> None:
        """Prints the table; with `ratio_of`, how many times that figure is the first subject's."""
        medians = self.medians()
        first = next(iter(medians.values()))
        names = list(first)
        header = ["", *names, *(["ratio"] if ratio_of else [])]
        rows = [
            [
                subject,
                *(number(figures[name]) for name in names),
                *([f"{figures[ratio_of] / first[ratio_of]:.1f}"] if ratio_of else []),
            ]
            for subject, figures in medians.items()
        ]
        rounds = max(len(one) for one in self.rounds.values())
        print(f"\n{self.title} (median of {rounds} {'rounds' if rounds > 1 else 'round'})")
        print_table([header, *rows])


def number(value: float) -> str:
    """Three digits that matter."""
    if value == 0 or value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join([row[0].ljust(len(first)), *others]), flush=True)


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which `share` (0 to 1) of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def parser(description: str | None, rounds: int = 3) -> argparse.ArgumentParser:
    """What every measurement takes."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--rounds", type=int, default=rounds, help="rounds, interleaved")
    made.add_argument("--json", metavar="FILE", help="also write the figures there; - is stdout")
    return made


def write_json(path: str | None, reports: Iterable[Report]) -> None:
    """Every report's medians and rounds, when a path was asked for."""
    if path is None:
        return
    figures: Mapping[str, object] = {
        report.title: {"medians": report.medians(), "rounds": report.rounds} for report in reports
    }
    text = json.dumps(figures, indent=2) + "\n"
    if path == "-":
        sys.stdout.write(text)
    else:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
