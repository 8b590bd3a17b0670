"""A program's standard streams: three pipes, or one pseudo-terminal. Knows descriptors alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from .pipes import Descriptor, set_size
from .spec import TerminalSize


@dataclass(slots=True)
class Streams:
    """Our ends, and in `inside` the program's, by the number it knows them by. In a terminal, input is output."""

    input: Descriptor
    output: Descriptor
    errors: Descriptor | None
    inside: Mapping[int, int]

    @property
    def terminal(self) -> bool:
        """Is it a pseudo-terminal?"""
        return self.input is self.output

    @classmethod
    def open(cls, terminal: TerminalSize | None, *, owner: int | None = None) -> Streams:
        """A pseudo-terminal of this size, which the user `owner` may open by name too; without a size, pipes."""
        return cls.pseudo_terminal(terminal, owner) if terminal else cls.pipes()

    @classmethod
    def pipes(cls) -> Streams:
        """Three pipes."""
        stdin, our_stdin = os.pipe()
        our_stdout, stdout = os.pipe()
        our_stderr, stderr = os.pipe()
        return cls(
            Descriptor(our_stdin),
            Descriptor(our_stdout),
            Descriptor(our_stderr),
            {0: stdin, 1: stdout, 2: stderr},
        )

    @classmethod
    def pseudo_terminal(cls, size: TerminalSize, owner: int | None) -> Streams:
        """A pseudo-terminal."""
        ours, theirs = os.openpty()
        set_size(ours, size.columns, size.rows)
        if owner is not None:
            os.fchown(theirs, owner, owner)
        master = Descriptor(ours)
        return cls(master, master, None, {0: theirs, 1: theirs, 2: theirs})

    def close_inside(self) -> None:
        """Close the program's ends, which the program has by now. Safe to call twice."""
        for number in set(self.inside.values()):
            os.close(number)
        self.inside = {}

    def close(self) -> None:
        """Close both ends. Safe to call twice."""
        self.close_inside()
        for descriptor in (self.input, self.output, self.errors):
            if descriptor:
                descriptor.close()
