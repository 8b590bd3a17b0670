"""What members ask for beyond the document, and what programs ask of the values.

A request that cannot be met is answered with `Refused`; it never harms anybody else.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import assert_never

from engineroom.errors import (
    AccessDenied,
    EngineroomError,
    LimitExceeded,
    ProgramError,
    ProtocolError,
)
from engineroom.errors import AddressError as BadAddress
from engineroom.protocols import engine, lines
from engineroom.protocols import messages as m

from . import programs as p
from .evaluations import Evaluations
from .limits import RoomLimits
from .members import Member, MemberId
from .presence import Presence
from .terminals import Terminal, Terminals
from .turn import Turn
from .values import Values

MAX_COMPLETIONS_UNDER_WAY = 64
CODES: dict[type[EngineroomError], str] = {
    AccessDenied: "forbidden",
    LimitExceeded: "limit",
    BadAddress: "address",
    ProgramError: "program",
    ProtocolError: "value",
}

Request = (
    m.SetValue
    | m.Evaluate
    | m.Interrupt
    | m.Restart
    | m.Complete
    | m.AnswerInput
    | m.TerminalInput
    | m.TerminalResize
)


class Requests:
    """Answers requests with the room's tables."""

    def __init__(
        self,
        values: Values,
        evaluations: Evaluations,
        terminals: Terminals,
        presence: Presence,
        limits: RoomLimits,
    ) -> None:
        self._values = values
        self._evaluations = evaluations
        self._terminals = terminals
        self._presence = presence
        self._limits = limits
        self._completions: OrderedDict[str, tuple[MemberId, m.Complete]] = OrderedDict()

    # --- members -----------------------------------------------------------------------------

    def receive(self, member: Member, request: Request, turn: Turn) -> None:
        """Do what `member` asks, or tell it why not."""
        number = 0 if isinstance(request, m.TerminalInput | m.TerminalResize) else request.request
        try:
            self._carry_out(member, request, turn)
        except EngineroomError as error:
            if isinstance(error, LimitExceeded):
                turn.counters.limits[error.limit] += 1
            turn.mail.to(member.id, m.Refused(number, CODES.get(type(error), "error"), str(error)))
        else:
            if number and not isinstance(request, m.Complete):
                turn.mail.to(member.id, m.Done(number))

    def _carry_out(self, member: Member, request: Request, turn: Turn) -> None:
        if isinstance(request, m.SetValue):
            _require(member.access.write, "change values")
            self.set_value(request.address, request.value, turn)
            return
        if isinstance(request, m.TerminalResize):
            self._show_terminal(member, request, turn)
            return
        _require(member.access.run, "run programs")
        match request:
            case m.Evaluate():
                by = self._presence.user_name(member.id) or member.user.name or "somebody"
                ask = self._evaluations.ask
                commands = ask(request.evaluation, request.cell, request.code, by=by, now=turn.now)
                turn.order(*commands)
            case m.Interrupt():
                turn.order(*self._evaluations.interrupt(request.engine))
            case m.Restart():
                turn.order(*self._evaluations.restart(request.engine))
            case m.Complete():
                self._complete(member, request, turn)
            case m.AnswerInput():
                self._bound_input(request.text)
                turn.order(*self._evaluations.answer(request.evaluation, request.text))
            case m.TerminalInput():
                self._bound_input(request.data)
                self._type(request, turn)
            case _:
                assert_never(request)

    def _bound_input(self, data: str | bytes) -> None:
        if len(data) > self._limits.input_bytes:
            raise LimitExceeded("input_bytes", self._limits.input_bytes)

    def forget(self, member: MemberId, turn: Turn) -> None:
        """`member` is gone."""
        for terminal in self._terminals:
            if terminal.leave(member):
                self._resized(terminal, turn)
        for ticket in [t for t, (who, _) in self._completions.items() if who == member]:
            del self._completions[ticket]

    # --- values ------------------------------------------------------------------------------

    def set_value(self, address: str, value: m.Value, turn: Turn) -> None:
        """Keep a value and tell everybody: members, and the programs that watch it."""
        changed = self._values.set(address, value)
        turn.mail.to_all(changed)
        for connection in self._values.watchers(address):
            turn.order(p.AnswerProgram(connection, lines.ValueIs(address, value)))

    def program_asked(self, connection: int, request: lines.FromProgram, turn: Turn) -> None:
        """A program asks for values, or sets one."""
        try:
            answers = self._answer_program(connection, request, turn)
        except EngineroomError as error:
            answers = [lines.Failed(str(error), request.id)]
        turn.order(*(p.AnswerProgram(connection, answer) for answer in answers))

    def _answer_program(
        self, connection: int, request: lines.FromProgram, turn: Turn
    ) -> list[lines.ToProgram]:
        done: list[lines.ToProgram] = [] if request.id is None else [lines.Ok(request.id)]
        match request:
            case lines.Get():
                return [
                    lines.ValueIs(request.address, self._values.get(request.address), request.id)
                ]
            case lines.Set():
                self.set_value(request.address, request.value, turn)
                return done
            case lines.Watch():
                now = self._values.watch(connection, request.address)
                return [*done, *(lines.ValueIs(address, value) for address, value in now)]
            case lines.Unwatch():
                self._values.unwatch(connection, request.address)
                return done
            case _:
                assert_never(request)

    # --- completion --------------------------------------------------------------------------

    def _complete(self, member: Member, request: m.Complete, turn: Turn) -> None:
        name = self._evaluations.engine_of(request.cell)
        if name is None:
            raise ProgramError(f"this page has no cell {request.cell!r}")
        if len(request.code) > self._limits.code_bytes:
            raise LimitExceeded("code_bytes", self._limits.code_bytes)
        ticket = f"{member.id}:{request.request}"
        self._completions[ticket] = (member.id, request)
        if len(self._completions) > MAX_COMPLETIONS_UNDER_WAY:
            self._completions.popitem(last=False)
        cursor = _code_points(request.code, request.cursor)
        turn.order(p.AskEngine(name, engine.Complete(ticket, request.code, cursor)))

    def completed(self, event: engine.Completions, turn: Turn) -> None:
        """An engine has answered; the one who asked is told."""
        member, request = self._completions.pop(event.id, (None, None))
        if member is None or request is None:
            return
        start, end = (_utf16_units(request.code, offset) for offset in (event.start, event.end))
        matches = tuple(event.matches[:1_000])
        turn.mail.to(member, m.Completions(request.request, start, end, matches))

    # --- terminals ---------------------------------------------------------------------------

    def _terminal(self, name: str) -> Terminal:
        terminal = self._terminals.get(name)
        if terminal is None:
            raise ProgramError(f"this page has no terminal {name!r}")
        return terminal

    def _show_terminal(self, member: Member, request: m.TerminalResize, turn: Turn) -> None:
        if not member.access.run:
            return  # who only watches does not narrow it for the others
        terminal = self._terminal(request.terminal)
        changed = terminal.show(member.id, request.columns, request.rows)
        if not terminal.running and not terminal.ended:
            turn.order(terminal.start())
            turn.mail.to_all(terminal.size())
        elif changed:
            self._resized(terminal, turn)

    def _resized(self, terminal: Terminal, turn: Turn) -> None:
        turn.mail.to_all(terminal.size())
        if terminal.running:
            turn.order(terminal.resize())

    def _type(self, request: m.TerminalInput, turn: Turn) -> None:
        terminal = self._terminal(request.terminal)
        if terminal.running:
            turn.order(terminal.write(request.data))
        else:  # any key starts an ended program again
            turn.order(terminal.start())


def _require(allowed: bool, what: str) -> None:
    if not allowed:
        raise AccessDenied(f"your link does not let you {what}")


def _code_points(text: str, units: int) -> int:
    """The offset in code points of an offset in UTF-16 units."""
    if text.isascii():
        return min(units, len(text))
    return len(text.encode("utf-16-le")[: 2 * units].decode("utf-16-le", "ignore"))


def _utf16_units(text: str, points: int) -> int:
    """The offset in UTF-16 units of an offset in code points."""
    return len(text[:points].encode("utf-16-le", "surrogatepass")) // 2
