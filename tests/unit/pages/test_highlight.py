from importlib.resources import files

from engineroom.pages.highlight import code_html, stylesheet


def test_the_stylesheet_is_the_committed_one() -> None:
    """server/static/highlight.css is what the generator makes (its docstring says how to write it anew)."""
    committed = files("engineroom") / "server" / "static" / "highlight.css"
    assert committed.read_text() == stylesheet()


def test_light_and_dark_do_not_mix() -> None:
    """Every rule is either for light or for dark, so that neither leaves a trace in the other."""
    light, dark = stylesheet().split("@media")[1:]
    assert light.startswith(" not (prefers-color-scheme: dark) {\n  .highlight ")
    assert dark.startswith(" (prefers-color-scheme: dark) {\n  .highlight ")


def test_code_keeps_every_character() -> None:
    """Blank lines at either end stay, and what is HTML is escaped."""
    assert code_html("\n\n<b>&\n", "no such language") == "\n\n&lt;b&gt;&amp;\n"
    assert code_html("\n\n'<b>'\n", "python").startswith("\n\n<span")
    assert "<b>" not in code_html("'<b>'", "python")
