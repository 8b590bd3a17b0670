"""The contract suite of engines: what every engine promises, one check a promise; and an ear for instances.

    PHRASES = Phrases(hello="print('hello')", …)

    @pytest.mark.parametrize("check", ENGINE_CHECKS, ids=lambda check: check.__name__)
    async def test_contract(check, tmp_path):
        async with Backend(LocalRuntime(), {"mine": my_type}) as backend:
            ear = Ear()
            instance = backend.allocate("key", "mine", place=Place(tmp_path), hear=ear.hear)
            await check(instance, ear, PHRASES)

or all of them at once, with `await check_engine(make_instance, PHRASES)`. The checks speak no language: what an engine
is told to do stands in the phrases.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, TypeAlias

from engineroom.programs.backend import Changed, Heard, Instance, Said
from engineroom.protocols import engine

PATIENCE_SECONDS = 60.0  # what has not come by then never will


@dataclass(frozen=True, slots=True)
class Phrases:
    """What the checks say, in the engine's language.

    `hello` writes `hello` and a line end; `both` writes `out` to standard output and then `err` to standard error;
    `value` is an expression whose value is shown as `shown`; `fails` fails, with `complaint` in what is shown; `many`
    writes the numbers from 0 to 9999, one a line; `asks` asks for a line with the prompt `Name? ` and writes it;
    `forever`
    writes `begun` and a line end, and then never ends; `remember` keeps something that `recall` writes as `kept`;
    `unfinished`, completed at its end, has `completion` among its matches. None: the engine does not offer this.
    """

    hello: str
    both: str
    value: str
    shown: str
    fails: str
    complaint: str
    many: str
    forever: str
    remember: str
    recall: str
    asks: str | None = None
    unfinished: str | None = None
    completion: str = ""


class Ear:
    """Hears one instance. `heard` is everything so far; a wait takes up where the last one ended."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self._at = 0
        self._new = asyncio.Event()

    def hear(self, event: Heard) -> None:
        """For `Backend.allocate`."""
        self.heard.append(event)
        self._new.set()

    async def wait(self, wanted: Callable[[Heard], bool]) -> Any:
        """The next thing heard that is wanted."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                while self._at < len(self.heard):
                    self._at += 1
                    if wanted(self.heard[self._at - 1]):
                        return self.heard[self._at - 1]
                self._new.clear()
                await self._new.wait()

    async def wait_state(self, state: str) -> str:
        """The reason with which the state is reached."""
        changed = await self.wait(lambda heard: isinstance(heard, Changed) and heard.state == state)
        return str(changed.reason)

    async def wait_event(self, kind: type[engine.Event], **fields: Any) -> Any:
        """The next event of this type with these fields."""

        def wanted(heard: Heard) -> bool:
            return (
                isinstance(heard, Said)
                and isinstance(heard.event, kind)
                and all(getattr(heard.event, name) == value for name, value in fields.items())
            )

        return (await self.wait(wanted)).event

    def states(self) -> list[str]:
        """The states so far."""
        return [heard.state for heard in self.heard if isinstance(heard, Changed)]

    def events(self, evaluation: str) -> list[engine.Event]:
        """What was said of an evaluation so far."""
        said = [heard.event for heard in self.heard if isinstance(heard, Said)]
        return [event for event in said if getattr(event, "id", None) == evaluation]

    def text(self, evaluation: str, *names: str) -> str:
        """What an evaluation wrote so far, to these streams (none: to both), in order."""
        streams = [e for e in self.events(evaluation) if isinstance(e, engine.Stream)]
        return "".join(stream.text for stream in streams if not names or stream.name in names)


Check: TypeAlias = Callable[[Instance, Ear, Phrases], Awaitable[None]]
MakeInstance: TypeAlias = Callable[[Ear], AbstractAsyncContextManager[Instance]]


async def check_engine(make_instance: MakeInstance, phrases: Phrases) -> None:
    """Run every check, each on a fresh instance that tells the given ear.

    Raises:
        AssertionError: a promise is broken.
    """
    for check in ENGINE_CHECKS:
        ear = Ear()
        async with make_instance(ear) as instance:
            await check(instance, ear, phrases)


async def _run(instance: Instance, ear: Ear, code: str, name: str = "e") -> engine.Done:
    instance.ask(engine.Evaluate(name, code))
    done: engine.Done = await ear.wait_event(engine.Done, id=name)
    return done


# --- the checks ------------------------------------------------------------------------------


async def is_ready_before_it_answers(instance: Instance, ear: Ear, phrases: Phrases) -> None:
    """The first thing an engine says is that it is ready, with its language and version."""
    await _run(instance, ear, phrases.hello)
    events = [heard.event for heard in ear.heard if isinstance(heard, Said)]
    assert isinstance(events[0], engine.Ready), events[0]
    assert events[0].language
    assert events[0].version


async def an_evaluation_begins_and_ends(instance: Instance, ear: Ear, phrases: Phrases) -> None:
    """An evaluation is started first and done last, with all that it wrote in between, and it is counted from 1."""
    for count in (1, 2):
        name = f"e{count}"
        done = await _run(instance, ear, phrases.hello, name)
        first, *_, last = ear.events(name)
        assert first == engine.Started(name, count)
        assert last == done
        assert (done.status, done.count) == ("ok", count)
        assert done.seconds >= 0
        assert ear.text(name, "stdout") == "hello\n"


async def streams_are_told_apart(instance: Instance, ear: Ear, phrases: Phrases) -> None:
    """Standard output and standard error come in the order in which they were written, each by its name."""
    await _run(instance, ear, phrases.both)
    assert ear.text("e", "stdout") == "out"
    assert ear.text("e", "stderr") == "err"
    assert ear.text("e") == "outerr"


async def a_value_is_shown(instance: Instance, ear: Ear, phrases: Phrases) -> None:
    """The value of an expression is a display that says it is the result, with plain text among its forms."""
    await _run(instance, ear, phrases.value)
    (shown,) = (e for e in ear.events("e") if isinstance(e, engine.Display))
    assert shown.result
    assert shown.data["text/plain"] == phrases.shown


async def failing_code_is_an_output(instance: Instance, ear: Ear, phrases: Phrases) -> None:
    """Code that fails is done with the status `error`, after what it complains of; the engine goes on."""
    done = await _run(instance, ear, phrases.fails)
    assert done.status == "error"
    (raised,) = (e for e in ear.events("e") if isinstance(e, engine.Raised))
    assert phrases.complaint in "\n".join([raised.name, raised.value, *raised.traceback])
    assert (await _run(instance, ear, phrases.hello, "next")).status == "ok"


async def nothing_of_a_long_output_is_lost(instance: Instance, ear: Ear, phrases: Phrases) -> None:
    """Ten thousand lines arrive whole and in order, before `done`, and in far fewer events than lines."""
    await _run(instance, ear, phrases.many)
    assert ear.text("e", "stdout").split() == [str(number) for number in range(10_000)]
    assert len(ear.events("e")) < 2_000


async def state_is_kept(instance: Instance, ear: Ear, phrases: Phrases) -> None:
    """What one evaluation keeps, the next one has; after a restart it is gone."""
    await _run(instance, ear, phrases.remember, "a")
    await _run(instance, ear, phrases.recall, "b")
    assert "kept" in ear.text("b")
    instance.restart()
    await _run(instance, ear, phrases.recall, "c")
    assert "kept" not in ear.text("c", "stdout")


async def an_interrupt_ends_the_evaluation(instance: Instance, ear: Ear, phrases: Phrases) -> None:
    """What never ends is interrupted, and done as `interrupted`; the same engine answers the next evaluation."""
    instance.ask(engine.Evaluate("e", phrases.forever))
    await ear.wait_event(engine.Stream, id="e")
    instance.interrupt()
    done = await ear.wait_event(engine.Done, id="e")
    assert done.status == "interrupted"
    assert (await _run(instance, ear, phrases.hello, "next")).status == "ok"
    assert "dead" not in ear.states()


async def an_interrupt_of_nothing_does_nothing(
    instance: Instance, ear: Ear, phrases: Phrases
) -> None:
    """Interrupting an idle engine, also twice, harms nothing."""
    await _run(instance, ear, phrases.hello, "a")
    instance.interrupt()
    instance.interrupt()
    assert (await _run(instance, ear, phrases.hello, "b")).status == "ok"


async def input_is_asked_for(instance: Instance, ear: Ear, phrases: Phrases) -> None:
    """A program that wants a line asks for it with its prompt, and gets the answer."""
    if phrases.asks is None:
        return
    instance.ask(engine.Evaluate("e", phrases.asks))
    asked = await ear.wait_event(engine.InputRequest, id="e")
    assert asked.prompt == "Name? "
    instance.ask(engine.Answer("e", "Ada"))
    await ear.wait_event(engine.Done, id="e")
    assert "Ada" in ear.text("e", "stdout")


async def completion_is_answered_while_it_runs(
    instance: Instance, ear: Ear, phrases: Phrases
) -> None:
    """Completion is answered also while an evaluation runs, with matches that stand for a part of the code."""
    if phrases.unfinished is None:
        return
    instance.ask(engine.Evaluate("e", phrases.forever))
    await ear.wait_event(engine.Stream, id="e")
    code = phrases.unfinished
    instance.ask(engine.Complete("c", code, len(code)))
    found = await ear.wait_event(engine.Completions, id="c")
    assert phrases.completion in found.matches
    assert 0 <= found.start <= found.end <= len(code)


async def a_release_leaves_nothing(instance: Instance, ear: Ear, phrases: Phrases) -> None:
    """An engine that is released in the middle of an evaluation is gone, and nothing more is said of it."""
    instance.ask(engine.Evaluate("e", phrases.forever))
    await ear.wait_event(engine.Stream, id="e")
    said = len(ear.heard)
    await instance.release()
    assert len(ear.heard) == said
    assert instance.info().pid is None


ENGINE_CHECKS: tuple[Check, ...] = (
    is_ready_before_it_answers,
    an_evaluation_begins_and_ends,
    streams_are_told_apart,
    a_value_is_shown,
    failing_code_is_an_output,
    nothing_of_a_long_output_is_lost,
    state_is_kept,
    an_interrupt_ends_the_evaluation,
    an_interrupt_of_nothing_does_nothing,
    input_is_asked_for,
    completion_is_answered_while_it_runs,
    a_release_leaves_nothing,
)
