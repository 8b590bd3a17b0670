"""Terminals: pseudo-terminals shared by a room, their sizes and the screen so far.

The size is the smallest of those at which its members show it, as tmux has it. The screen so far is the last
of what the program wrote, cut at a line, behind the modes that are in force.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from engineroom.protocols.messages import TerminalEnded, TerminalScreen, TerminalSize

from .members import MemberId
from .plan import TerminalPlan
from .programs import Command, ResizeTerminal, StartTerminal, WriteTerminal

MAX_COLUMNS = 1_000
MAX_ROWS = 500
MAX_MODES = 100  # xterm knows some forty
_MODE = re.compile(rb"\x1b\[\?([0-9;]{1,40})([hl])")  # DECSET and DECRST, xterm's ctlseqs
_ERASE_ALL = b"\x1b[3J"
_RESET = b"\x1bc"


class Terminal:
    """One terminal of a room."""

    def __init__(self, plan: TerminalPlan, screen_bytes: int) -> None:
        self.plan = plan
        self.running = False
        self.ended = ""
        self.columns, self.rows = 80, 24
        self.news = bytearray()
        self._screen = bytearray()
        self._modes: dict[bytes, None] = {}
        self._cut = b""
        self._sizes: dict[MemberId, tuple[int, int]] = {}
        self._screen_bytes = screen_bytes

    # --- members -----------------------------------------------------------------------------

    def show(self, member: MemberId, columns: int, rows: int) -> bool:
        """`member` shows the terminal at this size; whether the terminal's own size has changed."""
        self._sizes[member] = (min(max(columns, 2), MAX_COLUMNS), min(max(rows, 1), MAX_ROWS))
        return self._fit()

    def leave(self, member: MemberId) -> bool:
        """`member` shows it no more; whether the size has changed."""
        return self._sizes.pop(member, None) is not None and self._fit()

    def _fit(self) -> bool:
        if not self._sizes:
            return False
        columns = min(size[0] for size in self._sizes.values())
        rows = min(size[1] for size in self._sizes.values())
        changed = (columns, rows) != (self.columns, self.rows)
        self.columns, self.rows = columns, rows
        return changed

    def size(self) -> TerminalSize:
        """The size, for everybody."""
        return TerminalSize(self.plan.name, self.columns, self.rows)

    def screen(self) -> TerminalScreen:
        """The screen so far, for a newcomer."""
        modes = b"".join(b"\x1b[?%bh" % mode for mode in self._modes)
        data = modes + bytes(self._screen)
        return TerminalScreen(self.plan.name, self.columns, self.rows, data)

    def end_message(self) -> TerminalEnded:
        """What members are told when the program is not running and has been."""
        return TerminalEnded(self.plan.name, self.ended)

    # --- the program -------------------------------------------------------------------------

    def start(self) -> Command:
        """The command that starts the program."""
        self.running = True
        self.ended = ""
        return StartTerminal(self.plan.name, self.plan.command, self.columns, self.rows)

    def resize(self) -> Command:
        """The command that tells the program its size."""
        return ResizeTerminal(self.plan.name, self.columns, self.rows)

    def write(self, data: bytes) -> Command:
        """The command that hands `data` to the program."""
        return WriteTerminal(self.plan.name, data)

    def wrote(self, data: bytes) -> None:
        """The program wrote `data`: it is news for the members and part of the screen."""
        self.news += data
        self._screen += data
        self._track(data)
        if len(self._screen) > 2 * self._screen_bytes:
            self._shorten()

    def exited(self, reason: str) -> None:
        """The program has ended."""
        self.running = False
        self.ended = reason
        self._modes.clear()

    def take_news(self) -> bytes:
        """What the program wrote since the last call."""
        news = bytes(self.news)
        self.news.clear()
        return news

    def _track(self, data: bytes) -> None:
        text = self._cut + data
        for match in _MODE.finditer(text):
            for mode in match[1].split(b";"):
                if match[2] == b"h":
                    if len(self._modes) < MAX_MODES:
                        self._modes[mode] = None
                else:
                    self._modes.pop(mode, None)
        escape = text.rfind(b"\x1b", max(0, len(text) - 48))
        self._cut = b"" if escape < 0 or _MODE.match(text, escape) else text[escape:]
        if _ERASE_ALL in text or _RESET in text:
            start = max(self._screen.rfind(_ERASE_ALL), self._screen.rfind(_RESET))
            del self._screen[: max(start, 0)]

    def _shorten(self) -> None:
        del self._screen[: len(self._screen) - self._screen_bytes]
        line = self._screen.find(b"\n")
        if line >= 0:
            del self._screen[: line + 1]


class Terminals:
    """The terminals of a room, by name."""

    def __init__(self, plans: Iterable[TerminalPlan], screen_bytes: int) -> None:
        self._terminals = {plan.name: Terminal(plan, screen_bytes) for plan in plans}
        self._screen_bytes = screen_bytes

    def __iter__(self) -> Iterator[Terminal]:
        return iter(self._terminals.values())

    def get(self, name: str) -> Terminal | None:
        """The terminal of this name."""
        return self._terminals.get(name)

    @property
    def names(self) -> list[str]:
        """Their names, as the page has them."""
        return list(self._terminals)

    def replan(self, plans: Iterable[TerminalPlan]) -> None:
        """The page has other terminals now; those that stay go on, with the command of their next start."""
        kept = self._terminals
        self._terminals = {}
        for plan in plans:
            terminal = kept.get(plan.name) or Terminal(plan, self._screen_bytes)
            terminal.plan = plan
            self._terminals[plan.name] = terminal
