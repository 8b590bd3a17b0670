"""What an engine was asked and has not answered yet. Pure: no clock, no tasks.

It bounds the requests that wait, and decides which of the engine's words concern anybody.
"""

from __future__ import annotations

from typing import assert_never

from engineroom.errors import LimitExceeded
from engineroom.protocols import engine

MAX_REQUESTS = 256


class Asked:
    """The requests of one instance since it was last started."""

    def __init__(self) -> None:
        # Oldest first; True once the engine said that it has started.
        self._evaluations: dict[str, bool] = {}
        self._completions: set[str] = set()
        self._questions: set[str] = set()

    @property
    def busy(self) -> bool:
        """Is there an evaluation that is not done?"""
        return bool(self._evaluations)

    @property
    def oldest(self) -> str | None:
        """The evaluation that runs, or that will run next."""
        return next(iter(self._evaluations), None)

    def has_started(self, evaluation: str) -> bool:
        """Does it run?"""
        return self._evaluations.get(evaluation, False)

    def accept(self, request: engine.Request) -> bool:
        """Note `request`. False: an answer that nobody waits for, not to be sent.

        Raises:
            LimitExceeded: too many wait already.
        """
        if isinstance(request, engine.Answer):
            waits = request.id in self._questions
            self._questions.discard(request.id)
            return waits
        if len(self._evaluations) + len(self._completions) >= MAX_REQUESTS:
            raise LimitExceeded("requests of one engine", MAX_REQUESTS)
        if isinstance(request, engine.Evaluate):
            self._evaluations[request.id] = False
        else:
            self._completions.add(request.id)
        return True

    def concerns(self, event: engine.Event) -> bool:
        """Note `event`. False: it is about nothing that was asked, and so for nobody."""
        match event:
            case engine.Ready():
                return True
            case engine.Stream() | engine.Display() | engine.Raised() | engine.ClearOutput():
                return event.id == "" or event.id in self._evaluations
            case engine.Completions():
                known = event.id in self._completions
                self._completions.discard(event.id)
                return known
            case engine.Started() | engine.InputRequest() | engine.Done():
                if event.id not in self._evaluations:
                    return False
                self._note(event)
                return True
            case _:
                assert_never(event)

    def _note(self, event: engine.Started | engine.InputRequest | engine.Done) -> None:
        match event:
            case engine.Started():
                self._evaluations[event.id] = True
            case engine.InputRequest():
                self._questions.add(event.id)
            case engine.Done():
                del self._evaluations[event.id]
                self._questions.discard(event.id)
