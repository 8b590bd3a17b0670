"""The loop that serves the interpreter, in a real process."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest

Event = dict[str, Any]


def story(events: list[Event]) -> list[tuple[str, str]]:
    """The outputs among `events` in their order: streams joined, displays by their plain text, errors by name."""
    told = []
    for event in events:
        if event["type"] == "stream":
            told.append((event["name"], event["text"]))
        elif event["type"] == "display":
            told.append(("display", event["data"]["text/plain"]))
        elif event["type"] == "error":
            told.append(("error", event["name"]))
    return [
        (name, "".join(text for _, text in group))
        if name.startswith("std")
        else (name, ", ".join(text for _, text in group))
        for name, group in itertools.groupby(told, key=lambda part: part[0])
    ]


def test_one_evaluation(engine: Any) -> None:
    """An evaluation is told as started, its outputs, and done, all by its id and numbered."""
    started, display, done = engine.evaluate("2 + 2")
    assert started == {"type": "started", "id": "e1", "count": 1}
    assert display["data"] == {"text/plain": "4"}
    assert display["result"] is True
    assert done.pop("seconds") >= 0
    assert done == {"type": "done", "id": "e1", "status": "ok", "count": 1}


def test_display_mode(engine: Any) -> None:
    """`every` shows each expression's value."""
    assert story(engine.evaluate("1\n2", display="every")) == [("display", "1, 2")]


def test_order_of_everything(engine: Any) -> None:
    """Both streams, rich outputs, subprocesses, descriptors and threads stand in the order in which they happened."""
    code = """
import os, sys, subprocess, threading
print("a")
print("b", file=sys.stderr)
print("c", end="")
subprocess.run("echo d", shell=True)
display(1)
os.write(1, b"e\\n")
display(2)
thread = threading.Thread(target=print, args=("f",))
thread.start(); thread.join()
print("g", file=sys.stderr)
sys.stdout.buffer.write(b"h\\n")
display(3)
subprocess.run("echo i >&2", shell=True)
print("j")
"""
    assert story(engine.evaluate(code)) == [
        ("stdout", "a\n"),
        ("stderr", "b\n"),
        ("stdout", "cd\n"),
        ("display", "1"),
        ("stdout", "e\n"),
        ("display", "2"),
        ("stdout", "f\n"),
        ("stderr", "g\n"),
        ("stdout", "h\n"),
        ("display", "3"),
        ("stderr", "i\n"),
        ("stdout", "j\n"),
    ]


def test_streams_alternate_exactly(engine: Any) -> None:
    """A thousand turns between the streams keep their order."""
    events = engine.evaluate(
        "import sys\nfor n in range(1000): print(n); print(n, file=sys.stderr)"
    )
    expected = [(name, f"{n}\n") for n in range(1000) for name in ("stdout", "stderr")]
    assert story(events) == expected


def test_many_prints_are_few_events(engine: Any) -> None:
    """Twenty thousand prints arrive whole, in few events."""
    events = engine.evaluate("for n in range(20_000): print(n)")
    assert story(events) == [("stdout", "".join(f"{n}\n" for n in range(20_000)))]
    # One in 20 ms or 64 KiB: even a machine that takes 10 s for it stays below this.
    assert len(events) < 600


def test_output_is_streamed(engine: Any) -> None:
    """What is printed is told while the evaluation runs, also an unfinished line."""
    evaluation = engine.ask("print('before', end=''); input()")
    engine.read_until("stream", text="before")
    engine.read_until("input_request")
    engine.send(type="answer", id=evaluation, text="")
    engine.read_until("done")


def test_large_output_arrives_whole(engine: Any) -> None:
    """Megabytes from a single write and from a subprocess arrive whole, in parts of at most 64 KiB characters."""
    events = engine.evaluate(
        "import os\nprint('x' * 3_000_000)\nos.system('head -c 3000000 /dev/zero')"
    )
    texts = [event["text"] for event in events if event["type"] == "stream"]
    assert "".join(texts) == "x" * 3_000_000 + "\n" + "\0" * 3_000_000
    assert max(map(len, texts)) <= 64 * 1024


def test_characters_split_between_writes(engine: Any) -> None:
    """A character whose bytes come one by one is whole; bytes that are none are replaced; NUL and escapes pass."""
    code = r"""
import os
for byte in "€😀".encode(): os.write(1, bytes([byte])); display(0)
os.write(1, b"\xff \x1b[31m \0 \xe2")
"""
    events = engine.evaluate(code)
    text = "".join(event["text"] for event in events if event["type"] == "stream")
    assert text == "€😀\ufffd \x1b[31m \0 \ufffd"


def test_lone_surrogates(engine: Any) -> None:
    """Lone surrogates, in text and in code, neither break the conversation nor lose the result."""
    events = engine.evaluate(r"print('\ud800'); display({'text/plain': 'a\ud800b'}, raw=True)")
    assert story(events) == [("stdout", "\\ud800\n"), ("display", "a?b")]
    assert engine.evaluate("'\ud800'")[-1]["status"] == "error"


def test_output_past_the_bound(engine: Any) -> None:
    """An output that makes a line too long for the backend is told in its place."""
    events = engine.evaluate("display({'text/html': '\\0' * 9_000_000}, raw=True)\n5")
    assert "too large to be sent" in story(events)[0][1]
    assert story(events)[1] == ("display", "5")


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time\ntime.sleep(60)",
        "print('x')\nwhile True: pass",
        "while True: print('x')",
        "import sys\nwhile True: print('x'); print('y', file=sys.stderr)",
        "while True: display(1)",
        "import subprocess\nsubprocess.run(['sleep', '60'])",
        "import asyncio\nawait asyncio.sleep(60)",
        "input()",
        "import threading\nthreading.Event().wait()",
    ],
)
def test_interrupt(engine: Any, code: str) -> None:
    """An interrupt ends the evaluation, cleanly, whatever it is doing, and leaks nothing into the next."""
    evaluation = engine.ask(code)
    engine.read_until("started")
    engine.interrupt()
    events = engine.read_until("done")
    assert {event["id"] for event in events} == {evaluation}
    assert events[-1]["status"] == "interrupted"
    assert events[-2]["type"] == "error"
    assert events[-2]["name"] == "KeyboardInterrupt"
    assert story(engine.evaluate("6 * 7")) == [("display", "42")]


def test_interrupt_that_python_ignores_comes_again(engine: Any) -> None:
    """An interrupt in a place where nothing can be raised, such as `__del__`, still ends the evaluation."""
    engine.ask(
        "import time\nclass Slow:\n    def __del__(self):\n        print('here', flush=True)\n"
        "        time.sleep(60)\nSlow()\ntime.sleep(60)"
    )
    engine.read_until("stream")
    engine.interrupt()
    assert engine.read_until("done")[-1]["status"] == "interrupted"


def test_interrupted_await_names_its_line(engine: Any) -> None:
    """The traceback of an interrupted `await` points into the cell, not into the event loop."""
    engine.ask(
        "import asyncio\nasync def f():\n    print(1)\n    await asyncio.sleep(60)\nawait f()"
    )
    engine.read_until("stream")
    engine.interrupt()
    lines = engine.read_until("done")[-2]["traceback"]
    assert lines[1] == '  File "<cell 1>", line 5, in <module>'
    assert any(line.endswith(", in f") for line in lines)


def test_interrupt_while_idle(engine: Any) -> None:
    """An interrupt between evaluations does nothing, and many in a row are survived."""
    for _ in range(20):
        engine.interrupt()
    assert engine.evaluate("1")[-1]["status"] == "ok"
    engine.ask("while True: pass")
    engine.read_until("started")
    for _ in range(20):
        engine.interrupt()
    assert engine.read_until("done")[-1]["status"] == "interrupted"
    assert story(engine.evaluate("2")) == [("display", "2")]


def test_interrupt_caught_by_the_code(engine: Any) -> None:
    """Code may catch an interrupt and go on; a second one then ends it."""
    engine.ask(
        "try:\n print(1)\n while True: pass\nexcept KeyboardInterrupt: print('caught')\nwhile True: pass"
    )
    engine.read_until("stream", text="1\n")
    engine.interrupt()
    engine.read_until("stream", text="caught\n")
    engine.interrupt()
    assert engine.read_until("done")[-1]["status"] == "interrupted"


def test_handler_of_the_user_ends_with_the_cell(engine: Any) -> None:
    """A cell that replaced the handler of SIGINT does not take interrupts from the next one."""
    engine.evaluate("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)")
    engine.ask("while True: pass")
    engine.read_until("started")
    engine.interrupt()
    assert engine.read_until("done")[-1]["status"] == "interrupted"


@pytest.mark.parametrize("code", ["import sys; sys.exit()", "exit()", "quit()"])
def test_exit(engine: Any, code: str) -> None:
    """Leaving ends the cell and nothing else: the next may print and ask."""
    assert engine.evaluate(code)[-1]["status"] == "ok"
    evaluation = engine.ask("print(input())")
    engine.read_until("input_request")
    engine.send(type="answer", id=evaluation, text="still here")
    assert story(engine.read_until("done")) == [("stdout", "still here\n")]


def test_input_and_password(engine: Any) -> None:
    """`input`, `getpass` and reading `sys.stdin` ask, and take the answer to their own evaluation alone."""
    evaluation = engine.ask(
        "import getpass, sys\ninput('name? '), getpass.getpass('secret? '), sys.stdin.readline()"
    )
    for prompt, password in (("name? ", False), ("secret? ", True), ("", False)):
        request = engine.read_until("input_request")[-1]
        assert (request["id"], request["prompt"], request["password"]) == (
            evaluation,
            prompt,
            password,
        )
        engine.send(type="answer", id="another", text="wrong")
        engine.send(type="answer", id=evaluation, text="é!")
    assert story(engine.read_until("done")) == [("display", "('é!', 'é!', 'é!\\n')")]


def test_answer_that_was_not_asked_for(engine: Any) -> None:
    """An answer that nobody waits for is not the next question's."""
    engine.send(type="answer", id="e1", text="early")
    evaluation = engine.ask("input()")
    engine.read_until("input_request")
    engine.send(type="answer", id=evaluation, text="in time")
    assert story(engine.read_until("done")) == [("display", "'in time'")]


def test_question_of_a_thread_ends_with_the_evaluation(engine: Any) -> None:
    """A thread that still waits for an answer when its evaluation ends gets EOFError, and stands in nobody's way."""
    code = """
import threading
def ask():
    try: input("thread? ")
    except EOFError: over.set()
over = threading.Event()
threading.Thread(target=ask).start()
"""
    engine.evaluate(code)
    assert story(engine.evaluate("over.wait()")) == [("display", "True")]


def test_subprocess_finds_no_input(engine: Any) -> None:
    """A subprocess that reads its input finds the end of it."""
    assert story(engine.evaluate("import os; os.system('cat; echo end')")) == [
        ("stdout", "end\n"),
        ("display", "0"),
    ]


def test_completion_while_busy(engine: Any) -> None:
    """Completions are answered while an evaluation runs."""
    engine.evaluate("class Shape: area = 1")
    engine.ask("while True: pass")
    engine.read_until("started")
    engine.send(type="complete", id="c1", code="Shape.ar", cursor=8)
    assert engine.read_until("completions")[-1] == {
        "type": "completions",
        "id": "c1",
        "start": 6,
        "end": 8,
        "matches": ["area"],
    }
    engine.interrupt()
    engine.read_until("done")


def test_completion_that_hangs(engine: Any) -> None:
    """A `__dir__` that never returns keeps no evaluation from running."""
    engine.evaluate("class Slow:\n def __dir__(self):\n  while True: pass\ns = Slow()")
    engine.send(type="complete", id="c1", code="s.", cursor=2)
    assert story(engine.evaluate("1")) == [("display", "1")]


def test_thread_after_the_end(engine: Any) -> None:
    """What a thread prints after its evaluation has ended belongs to none."""
    code = "import threading\ngo = threading.Event()\n"
    engine.evaluate(code + "threading.Thread(target=lambda: (go.wait(), print('late'))).start()")
    engine.evaluate("threading.Timer(0.05, go.set).start()")
    assert engine.read() == {"type": "stream", "id": "", "name": "stdout", "text": "late\n"}


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.close(1); os.close(2)",
        "import os; os.dup2(os.open(os.devnull, os.O_WRONLY), 1)",
        "import os; os.closerange(0, 100)",
        "import sys; sys.stdout.close(); sys.stderr.close(); sys.stdin.close()",
        "import sys; del sys.stdout; del sys.stderr",
        "import sys; sys.stdout = None",
        "import sys; sys.stdout.detach()",
        "import io, sys; sys.stdout = io.StringIO(); sys.stdout.close()",
        "import os; os.chdir('/')",
        "import builtins; del builtins.print\nbuiltins.print = __builtins__.__dict__.get",
    ],
)
def test_lost_streams_come_back(engine: Any, code: str) -> None:
    """Code that closes or loses the standard streams and descriptors harms only its own cell's output."""
    engine.evaluate(code)
    events = engine.evaluate("import os; os.write(1, b'one\\n'); os.system('echo two >&2')\n5")
    assert story(events) == [("stdout", "one\n"), ("stderr", "two\n"), ("display", "5")]


def test_redirection_of_the_user_stays(engine: Any) -> None:
    """A stream that the user put in place of `sys.stdout` stays until it is taken away or closed."""
    engine.evaluate("import io, sys; sys.stdout = kept = io.StringIO()")
    engine.evaluate("print('hidden')")
    assert story(engine.evaluate("sys.stdout = sys.__stdout__; print(kept.getvalue())")) == [
        ("stdout", "hidden\n\n")
    ]


def test_fork(engine: Any) -> None:
    """A forked child prints and displays where its parent does, takes no part in the conversation, and ends."""
    code = """
import os
child = os.fork()
if child == 0:
    print("child")
    display("shown")
    1 / 0
os.waitpid(child, 0)[1] >> 8
"""
    told = story(engine.evaluate(code))
    assert told[0] == ("stdout", "child\n'shown'\n")
    assert told[1][0] == "stderr"
    assert told[1][1].endswith("ZeroDivisionError: division by zero\n")
    assert told[2] == ("display", "1")


def test_multiprocessing(engine: Any) -> None:
    """Functions of a cell run in forked worker processes."""
    code = """
import multiprocessing
def square(n): return n * n
with multiprocessing.get_context("fork").Pool(2) as pool: squares = pool.map(square, range(4))
squares
"""
    assert story(engine.evaluate(code)) == [("display", "[0, 1, 4, 9]")]


def test_modules_of_the_user_are_not_ours(engine: Any, tmp_path: Path) -> None:
    """Modules beside the notebook are found, also by names that the engine's own modules have."""
    for name in ("display", "loop", "channel"):
        (tmp_path / f"{name}.py").write_text("mine = True")
    code = "import display as d, loop, channel\nd.mine, loop.mine, channel.mine"
    assert story(engine.evaluate(code)) == [("display", "(True, True, True)")]


def test_descriptors_are_not_inherited(engine: Any) -> None:
    """Programs that a cell starts see neither the engine's descriptors nor their names."""
    code = """
import os, subprocess, sys
print([name for name in os.environ if name.endswith("_FD")])
look = "import os; print(len(os.listdir('/proc/self/fd')))"
done = subprocess.run([sys.executable, "-S", "-c", look])
"""
    # Three standard streams, and the folder being listed.
    assert story(engine.evaluate(code)) == [("stdout", "[]\n4\n")]


def test_output_of_c_libraries(engine: Any) -> None:
    """What a C library has buffered is written out at the end of the cell."""
    code = "import ctypes\nctypes.CDLL(None).puts(b'from C') and None"
    assert story(engine.evaluate(code)) == [("stdout", "from C\n")]


def test_fault_handler(engine: Any) -> None:
    """An engine that crashes says where, on the standard error that it was born with."""
    engine.ask("import ctypes; ctypes.string_at(0)")
    words = engine.process.stderr.read().decode()
    assert "Segmentation fault" in words
    assert "<cell 1>" in words


def test_ends_with_its_requests(engine: Any) -> None:
    """An engine whose backend has gone ends by itself."""
    engine.socket.shutdown(1)
    assert engine.process.wait(timeout=30) == 0


def test_flood_that_nobody_takes(engine: Any) -> None:
    """An engine whose events are not read is held back, and can be interrupted still."""
    engine.ask("while True: print('x' * 1000)")
    engine.read_until("stream")
    status = Path(f"/proc/{engine.process.pid}/stat")
    # Held back: asleep, with everything full.
    seen = 0
    while seen < 20:
        seen = seen + 1 if status.read_text().split()[2] == "S" else 0
    memory = Path(f"/proc/{engine.process.pid}/statm").read_text().split()[1]
    assert int(memory) * 4096 < 64 * 1024 * 1024
    engine.interrupt()
    assert engine.read_until("done")[-1]["status"] == "interrupted"


MATPLOTLIB = {
    "__init__.py": "def use(name):\n    global chosen\n    chosen = name\n",
    "backend_bases.py": "class FigureManagerBase:\n"
    "    def __init__(self, canvas): self.canvas = canvas\n",
    "figure.py": "class Figure:\n"
    "    canvas = None\n"
    "    def savefig(self, target, format): target.write(b'drawn')\n"
    "    def __repr__(self): return 'figure'\n",
    "backends/__init__.py": "",
    "backends/backend_agg.py": "class FigureCanvasAgg:\n"
    "    def __init__(self, figure): self.figure = figure; figure.canvas = self\n",
    "_pylab_helpers.py": "class Gcf:\n"
    "    managers = []\n"
    "    get_all_fig_managers = classmethod(lambda cls: list(cls.managers))\n"
    "    destroy = classmethod(lambda cls, one: cls.managers.remove(one))\n",
    "pyplot.py": "import importlib, matplotlib\n"
    "from matplotlib.figure import Figure\n"
    "from matplotlib._pylab_helpers import Gcf\n"
    "backend = importlib.import_module(matplotlib.chosen.removeprefix('module://'))\n"
    "def plot():\n"
    "    figure = Figure()\n"
    "    Gcf.managers.append(backend.FigureManager(backend.FigureCanvas(figure)))\n"
    "    return figure\n"
    "show = backend.show\n",
}


def test_figures_of_a_small_matplotlib(engine: Any, tmp_path: Path) -> None:
    """Figures are shown as PNG by `show()` and at the end of the cell, once, in order; nothing is imported before."""
    for name, text in MATPLOTLIB.items():
        path = tmp_path / "matplotlib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    code = "import sys\nprint([n for n in sys.modules if n.startswith('matplotlib')])"
    assert story(engine.evaluate(code)) == [("stdout", "[]\n")]
    code = "import matplotlib.pyplot as plt\nplt.plot(); plt.show(); print(1); plt.plot(); None"
    events = engine.evaluate(code)
    assert story(events) == [("display", "figure"), ("stdout", "1\n"), ("display", "figure")]
    assert events[1]["data"]["image/png"] == "ZHJhd24="
    assert story(engine.evaluate("1")) == [("display", "1")]
    # A figure that is the cell's value is shown once.
    _, shown, _ = engine.evaluate("plt.plot()")
    assert (shown["result"], shown["data"]["image/png"]) == (True, "ZHJhd24=")


def test_python_version(engine: Any) -> None:
    """The engine runs under the Python that it was started with, as `__main__` in the working folder."""
    told = story(engine.evaluate("import sys; sys.version, __name__, sys.path[0]"))
    assert told == [("display", repr((sys.version, "__main__", "")))]
