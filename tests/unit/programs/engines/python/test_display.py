"""Rich display."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from engineroom.programs.engines.python import display
from engineroom.programs.engines.python.display import Screen, representations


def shows(**methods: Callable[[Any], Any]) -> object:
    """An object with these methods."""
    return type("Shown", (), {"__repr__": lambda self: "plain", **methods})()


def test_every_format() -> None:
    """Each `_repr_*_` method becomes its MIME type: text as it is, binary in base64, JSON as text."""
    value = shows(
        _repr_html_=lambda self: "<b>",
        _repr_markdown_=lambda self: "*m*",
        _repr_svg_=lambda self: "<svg/>",
        _repr_png_=lambda self: b"png",
        _repr_jpeg_=lambda self: b"jpeg",
        _repr_latex_=lambda self: "$x$",
        _repr_json_=lambda self: {"a": [1]},
    )
    assert representations(value) == {
        "text/html": "<b>",
        "text/markdown": "*m*",
        "image/svg+xml": "<svg/>",
        "image/png": base64.b64encode(b"png").decode(),
        "image/jpeg": base64.b64encode(b"jpeg").decode(),
        "text/latex": "$x$",
        "application/json": '{"a": [1]}',
        "text/plain": "plain",
    }


@pytest.mark.parametrize("with_metadata", [False, True])
def test_mime_bundle(with_metadata: bool) -> None:
    """`_repr_mimebundle_` gives any types at once, with or without metadata, before the single methods."""
    bundle = {"application/x-own": {"n": 1}, "text/html": "<i>"}
    value = shows(
        _repr_mimebundle_=lambda self: (bundle, {"x": 1}) if with_metadata else bundle,
        _repr_html_=lambda self: "<b>",
    )
    assert representations(value) == {
        "application/x-own": '{"n": 1}',
        "text/html": "<i>",
        "text/plain": "plain",
    }


def test_none_is_no_representation() -> None:
    """A method that returns None has nothing to show."""
    assert representations(shows(_repr_html_=lambda self: None)) == {"text/plain": "plain"}


def test_failing_representation(capsys: pytest.CaptureFixture[str]) -> None:
    """A representation that raises is told on stderr, and the others are shown."""
    value = shows(_repr_html_=lambda self: 1 / 0, _repr_svg_=lambda self: "<svg/>")
    assert representations(value) == {"image/svg+xml": "<svg/>", "text/plain": "plain"}
    assert "_repr_html_ of the value shown has failed" in capsys.readouterr().err


def test_failing_repr(capsys: pytest.CaptureFixture[str]) -> None:
    """An object whose `__repr__` raises is shown by its type."""
    data = representations(shows(__repr__=lambda self: 1 / 0))
    assert "Shown object at 0x" in data["text/plain"]
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_content_that_is_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A bundle that cannot be sent is left out and told."""
    value = shows(_repr_json_=lambda self: {1, 2})
    assert representations(value) == {"text/plain": "plain"}
    assert "not JSON serializable" in capsys.readouterr().err


def test_classes_and_answering_proxies() -> None:
    """A class is not its own instance, and an object that answers to every name is shown plainly."""
    kind = type(shows(_repr_html_=lambda self: "<b>"))
    assert set(representations(kind)) == {"text/plain"}

    class Proxy:
        def __getattr__(self, name: str) -> Callable[[], str]:
            return lambda: "anything"

    assert set(representations(Proxy())) == {"text/plain"}


def test_too_large(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Plain text is cut past its bound; other formats are left out past theirs, and told."""
    monkeypatch.setattr(display, "MAX_PLAIN", 10)
    monkeypatch.setattr(display, "MAX_RICH", 10)
    assert representations("x" * 98)["text/plain"] == "'xxxxxxxxx… (90 more characters)"
    value = shows(_repr_html_=lambda self: "h" * 11, _repr_markdown_=lambda self: "m" * 10)
    assert set(representations(value)) == {"text/plain", "text/markdown"}
    assert "text/html of 11 characters is too large" in capsys.readouterr().err


@pytest.fixture
def outputs() -> list[Any]:
    """What was emitted."""
    return []


def test_handle_updates(outputs: list[Any]) -> None:
    """`display` returns a handle, which replaces the output by name, and shows nothing itself."""
    screen = Screen(outputs.append)
    handle = screen.display("a")
    handle.update("b")
    screen.show(handle)
    first, second = outputs
    assert first["display"]
    assert first["display"] == second["display"] == handle.display_id
    assert (first["update"], second["update"]) == (False, True)
    assert second["data"] == {"text/plain": "'b'"}


def test_names_differ(outputs: list[Any]) -> None:
    """Two displays, and those of two instances, have different names; a given name is kept."""
    screens = [Screen(outputs.append) for _ in range(2)]
    for screen in screens:
        screen.display(1)
        screen.display(2, display_id=True)
    assert len({output["display"] for output in outputs}) == 4
    assert screens[0].display(1, display_id="mine").display_id == "mine"


def test_raw(outputs: list[Any]) -> None:
    """`raw` shows a dict of MIME types as it is."""
    Screen(outputs.append).display({"text/html": "<b>", "image/png": b"p"}, raw=True)
    assert outputs[0]["data"] == {"text/html": "<b>", "image/png": "cA=="}


def test_clear_output(outputs: list[Any]) -> None:
    """`clear_output` asks for the outputs to be removed, at once or with the next one."""
    screen = Screen(outputs.append)
    screen.clear_output()
    screen.clear_output(wait=True)
    assert outputs == [{"type": "clear", "wait": False}, {"type": "clear", "wait": True}]
