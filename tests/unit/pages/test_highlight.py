import re
from importlib.resources import files
from pathlib import Path

from engineroom.pages.highlight import code_html, stylesheet


def test_the_stylesheet_is_the_committed_one() -> None:
    """server/static/highlight.css is what the generator makes (its docstring says how to write it anew)."""
    committed = files("engineroom") / "server" / "static" / "highlight.css"
    assert committed.read_text() == stylesheet()


def test_every_colour_is_the_pages_own() -> None:
    """Code to read has the colours of code in cells: the page's variables, which are light or dark by themselves."""
    colours = re.findall(r"color: ([^;}]+?) ?[;}]", stylesheet())
    tokens = Path(__file__).parents[3] / "web" / "src" / "styles" / "tokens.css"
    light, dark = tokens.read_text().split("@media")
    for colour in set(colours):
        name = re.fullmatch(r"var\((--[a-z-]+)\)", colour)
        assert name is not None, colour
        assert f"{name[1]}:" in light
        assert f"{name[1]}:" in dark


def test_kinds_without_a_look_take_the_one_above() -> None:
    """A name of a function's kin looks as a function does; a plain name has no rule."""
    rules = stylesheet().splitlines()
    (function,) = [rule for rule in rules if re.search(r"\.nf\b", rule)]
    assert re.search(r"\.fm\b", function)
    assert not [rule for rule in rules if re.search(r"\.n\b", rule)]


def test_code_keeps_every_character() -> None:
    """Blank lines at either end stay, and what is HTML is escaped."""
    assert code_html("\n\n<b>&\n", "no such language") == "\n\n&lt;b&gt;&amp;\n"
    assert code_html("\n\n'<b>'\n", "python").startswith("\n\n<span")
    assert "<b>" not in code_html("'<b>'", "python")
