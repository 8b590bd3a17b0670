"""How measurements are shown: Markdown tables for people, JSON for programs, medians over rounds, targets."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

Figures: TypeAlias = dict[str, float]
OURS = "engineroom"


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be reached: a figure of ours, at most (or at least) `bound`; with `of`, `bound` times another's."""

    figure: str
    bound: float
    of: str = ""
    at_least: bool = False

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        times = f" x {self.of}" if self.of else ""
        return f"{self.figure} {sign} {self.bound:g}{times}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target, what was reached (a ratio where it has an `of`), and whether that is enough."""

    title: str
    target: str
    reached: float
    met: bool


@dataclass(slots=True)
class Report:
    """Figures by subject (a server, a runtime) over several rounds."""

    title: str
    targets: Sequence[Target] = ()
    ratio_of: str = ""
    rounds: dict[str, list[Figures]] = field(default_factory=dict)

    def add(self, subject: str, figures: Figures) -> None:
        self.rounds.setdefault(subject, []).append(figures)

    def medians(self) -> dict[str, Figures]:
        """Each subject's figures, each the median of its rounds."""
        return {
            subject: {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
            for subject, rounds in self.rounds.items()
        }

    def verdicts(self) -> list[Verdict]:
        """The targets that what was measured can tell about."""
        return [
            verdict for target in self.targets if (verdict := self._verdict(target)) is not None
        ]

    def _verdict(self, target: Target) -> Verdict | None:
        """A ratio is the median of the rounds' ratios: what was measured side by side is compared side by side."""
        ours = [one[target.figure] for one in self.rounds.get(OURS, ())]
        if not ours or (target.of and not self._others(target)):
            return None
        others = self._others(target) if target.of else [1.0] * len(ours)
        reached = statistics.median(
            mine / theirs for mine, theirs in zip(ours, others, strict=True)
        )
        met = reached >= target.bound if target.at_least else reached <= target.bound
        return Verdict(self.title, str(target), reached, met)

    def _others(self, target: Target) -> list[float]:
        best: Callable[..., float] = max if target.at_least else min
        names = [name for name in self.rounds if name != OURS]
        if target.of != "the best peer":
            names = [name for name in names if name.startswith(target.of)]
        else:
            names = [name for name in names if not name.startswith("relay")]
        if not names:
            return []
        columns = zip(*(self.rounds[name] for name in names), strict=True)
        return [best(one[target.figure] for one in column) for column in columns]

    def show(self) -> None:
        """Prints the table; with `ratio_of`, that figure as a multiple of ours."""
        medians = self.medians()
        names = list(next(iter(medians.values())))
        ratio = self.ratio_of if len(medians) > 1 and OURS in medians else ""
        header = ["", *names, *([f"{ratio}, x ours"] if ratio else [])]
        rows = [
            [
                subject,
                *(number(figures[name]) for name in names),
                *([f"{figures[ratio] / medians[OURS][ratio]:.2f}"] if ratio else []),
            ]
            for subject, figures in medians.items()
        ]
        rounds = max(len(one) for one in self.rounds.values())
        print(f"\n### {self.title}\n\nMedian of {rounds} round{'s' if rounds > 1 else ''}.\n")
        print_table([header, *rows])


def show_verdicts(reports: Iterable[Report]) -> bool:
    """Prints what was to be reached, and whether it was; whether all of it was."""
    verdicts = [verdict for report in reports for verdict in report.verdicts()]
    rows = [
        [one.title, one.target, number(one.reached), "yes" if one.met else "**no**"]
        for one in verdicts
    ]
    if rows:
        print("\n### Targets\n")
        print_table([["scenario", "target", "reached", "met"], *rows])
    return all(one.met for one in verdicts)


def number(value: float) -> str:
    """Three digits that matter."""
    if not math.isfinite(value):
        return str(value)
    if value == 0 or abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table; the first row is its head."""
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    for row in (rows[0], ruler, *rows[1:]):
        first, *others = row
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        print(f"| {' | '.join(cells)} |", flush=True)


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


def finish(reports: Sequence[Report], json_path: str | None) -> None:
    """Shows all, and writes every report's medians and rounds when a path was asked for."""
    for report in reports:
        report.show()
    show_verdicts(reports)
    if json_path is None:
        return
    figures = {
        report.title: {"medians": report.medians(), "rounds": report.rounds} for report in reports
    }
    text = json.dumps(figures, indent=2) + "\n"
    if json_path == "-":
        sys.stdout.write(text)
    else:
        with open(json_path, "w", encoding="utf-8") as file:
            file.write(text)
