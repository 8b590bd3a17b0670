from collections.abc import Callable

import pytest

from engineroom.pages import Page
from engineroom.rooms.plan import CellPlan, EditorPlan, Plan, TerminalPlan, ValuePlan

PageOf = Callable[[str], Page]


def test_an_editor_is_a_text_of_the_plan(page_of: PageOf) -> None:
    """An editor's text goes into the plan; the element in the HTML is empty."""
    page = page_of('<x-editor name="notes" language="Markdown">Dear *all*,\n\n# Hi</x-editor>')
    assert page.plan.editors == (EditorPlan("notes", "Dear *all*,\n\n# Hi"),)
    assert '<x-editor name="notes" language="markdown" label="notes"></x-editor>' in page.html
    assert page.problems == ()


def test_a_cell_is_planned_and_readable_without_a_script(page_of: PageOf) -> None:
    """A cell's source goes into the plan, and, in colours, into the element."""
    page = page_of('<x-cell engine="python" id="plot">\n1 < 2\n\n"*a*"\n</x-cell>')
    assert page.plan.cells == (CellPlan("plot", "python", '1 < 2\n\n"*a*"'),)
    opening = '<x-cell cell="plot" engine="python"><pre class="cell-fallback highlight">'
    assert f'{opening}<code class="language-python">' in page.html
    assert '<span class="o">&lt;</span>' in page.html
    assert "<em>" not in page.html


def test_a_fence_is_a_cell_too(page_of: PageOf) -> None:
    """A fence whose second word is `cell` is a cell, and its options are a cell's attributes."""
    page = page_of(
        "```python cell id=plot\n1 + 1\n```\n\n~~~python cell\n2\n~~~\n\n```python\n3\n```"
    )
    assert page.plan.cells == (
        CellPlan("plot", "python", "1 + 1"),
        CellPlan("cell-2", "python", "2"),
    )
    assert page.html.count("<x-cell") == 2


def test_a_terminals_command_stays_on_the_server(page_of: PageOf) -> None:
    """The command is split into arguments in the plan, and nowhere in the HTML."""
    page = page_of('<x-terminal command="bash -c \'echo secret\'" rows="20" label="Shell">')
    assert page.plan.terminals == (TerminalPlan("terminal-1", ("bash", "-c", "echo secret")),)
    assert page.html == '<x-terminal terminal="terminal-1" rows="20" label="Shell"></x-terminal>\n'


def test_a_slider_states_a_value(page_of: PageOf) -> None:
    """A slider's value begins with `initial`, else with `min`; numbers are JSON."""
    page = page_of(
        '<x-slider value="/speed" min="0" max="10" step="0.50" initial="3.0">\n\n'
        '<x-slider value="/b" min=-1 max=1 label="B &amp; C">'
    )
    assert page.plan.values == (ValuePlan("/speed", "3"), ValuePlan("/b", "-1"))
    assert (
        '<x-slider value="/speed" min="0" max="10" step="0.5" initial="3" label="speed">'
    ) in page.html
    assert 'label="B &amp; C"' in page.html


def test_values_and_sliders_stand_in_sentences(page_of: PageOf) -> None:
    """A value within a paragraph leaves the paragraph whole, and plans nothing."""
    page = page_of('It turns\n<x-value value="/speed"> times, *or* <x-value value="/a"></x-value>.')
    assert page.html == (
        '<p>It turns\n<x-value value="/speed"></x-value> times, <em>or</em> '
        '<x-value value="/a"></x-value>.</p>\n'
    )
    assert page.plan.values == ()


def test_tags_are_found_in_lists_quotes_and_raw_html(page_of: PageOf) -> None:
    """A tag works wherever HTML does, and its text loses the indentation of the list."""
    page = page_of(
        "- one\n\n  <x-cell engine=python>\n  if a:\n\n      b\n  </x-cell>\n\n"
        '> <x-editor name="q">x</x-editor>\n\n'
        '<div class="two">\n<x-editor name="d">y</x-editor>\n</div>\n'
    )
    assert page.plan.cells == (CellPlan("cell-1", "python", "if a:\n\n    b"),)
    assert page.plan.editors == (EditorPlan("q", "x"), EditorPlan("d", "y"))
    assert '<div class="two">\n<x-editor name="d"' in page.html


def test_a_cell_ends_a_paragraph(page_of: PageOf) -> None:
    """A cell needs no blank line before it."""
    page = page_of("Run this:\n<x-cell engine=python>\n1\n\n2\n</x-cell>\nDone.")
    assert page.html.startswith("<p>Run this:</p>\n<x-cell")
    assert page.html.endswith("<p>Done.</p>\n")


def test_code_and_comments_hide_tags(page_of: PageOf) -> None:
    """A tag in a code span, a fence, indented code, or a comment is no tag."""
    page = page_of(
        '`<x-cell>` \\<x-cell>\n\n```html\n<x-editor name="a">\n```\n\n'
        "    <x-terminal>\n\n<!-- <x-terminal> -->\n"
    )
    assert page.plan == Plan("index", page.version)
    assert page.problems == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<x-foo>", "there is no tag <x-foo> (known: "),
        ("a <x-editr name=a>", "there is no tag <x-editr> (did you mean <x-editor>?)"),
        ("<x-editor name=b onclick=x></x-editor>", "<x-editor> has no attribute 'onclick'"),
        ("<x-editor></x-editor>", '<x-editor> needs name="…"'),
        ("<x-editor name=cells></x-editor>", "an editor cannot be named 'cells'"),
        ("<x-editor name='a b'></x-editor>", "'a b' is no name"),
        ("<x-cell engine=python>open", "<x-cell> is not closed"),
        ("text <x-cell engine=python>", "<x-cell> is not closed"),
        ("text <x-cell engine=python>1</x-cell>", "<x-cell> stands on lines of its own"),
        ("<x-cell engine=ruby>1</x-cell>", "there is no engine 'ruby' (known: python)"),
        ("```ruby cell\n1\n```", "there is no engine 'ruby' (known: python)"),
        ("```python cell idd=3\n1\n```", "```python cell has no option 'idd' (did you mean 'id'?)"),
        ("```python cell 'a\n1\n```", "```python cell: No closing quotation"),
        ("<x-terminal>", '<x-terminal> needs command="…"'),
        ("<x-terminal command='a \"b'>", "cannot be split into arguments"),
        ("<x-terminal command=a rows=0>", "<x-terminal>: rows: expected `int` >= 2"),
        ("<x-slider>", '<x-slider> needs value="…"'),
        ("<x-slider value=speed>", "'speed' is no value's address"),
        ("<x-slider value=/a min=x>", "<x-slider>: min: 'x' is no number"),
        ("<x-slider value=/a min=3 max=3>", "<x-slider> needs min below max, and a step above 0"),
        ("<x-slider value=/a step=0>", "<x-slider> needs min below max, and a step above 0"),
        ("<x-slider value=/a initial=101>", "initial 101 is not within its ends"),
        ("<x-slider value=/a value=/b>", "<x-slider> has 'value' 2 times; the first counts"),
        ("<x-value value=/a>3</x-value>", "</x-value> closes nothing here"),
        ("<div>\n<x-value>\n</div>", '<x-value> needs value="…"'),
    ],
)
def test_a_mistake_is_a_box_and_the_page_works(page_of: PageOf, text: str, reason: str) -> None:
    """Each mistake is one problem with its line, shown in a box; what is around it stays."""
    page = page_of(f"Before.\n\n{text}\n\n<x-editor name=after></x-editor>")
    (problem,) = page.problems
    assert reason in problem.reason
    assert problem.path == "index.md"
    assert problem.line in (3, 4)
    assert page.html.count('<span class="problem" role="note">line ') == 1
    assert page.html.startswith("<p>Before.</p>")
    assert page.plan.editors[-1].name == "after"


@pytest.mark.parametrize(
    "twice",
    [
        "<x-editor name=a>1</x-editor>\n\n<x-editor name=a>2</x-editor>",
        "<x-cell engine=python id=a>1</x-cell>\n\n```python cell id=a\n2\n```",
        "<x-cell engine=python id=cell-2>1</x-cell>\n\n```python cell\n2\n```",
        "<x-terminal command=a name=a>\n\n<x-terminal command=b name=a>",
        "<x-slider value=/a initial=1>\n\n<x-slider value=/a initial=2>",
    ],
)
def test_the_first_of_two_with_one_name_counts(page_of: PageOf, twice: str) -> None:
    """A name is given once; the second is a problem at its own line."""
    page = page_of(twice)
    (problem,) = page.problems
    assert "already" in problem.reason
    assert problem.line == 3
    plan = page.plan
    assert len(plan.editors + plan.cells + plan.terminals + plan.values) == 1


def test_an_initial_value_wins_over_a_sliders_least(page_of: PageOf) -> None:
    """Of two sliders for one value, the one that states an initial value is heard, whatever the order."""
    page = page_of("<x-slider value=/a>\n\n<x-slider value=/a initial=5>")
    assert page.plan.values == (ValuePlan("/a", "5"),)
    assert page.problems == ()


def test_what_authors_write_in_attributes_is_escaped(page_of: PageOf) -> None:
    """A label, a wrong attribute, and an unknown tag cannot break out of the HTML around them."""
    evil = "&quot;&gt;&lt;img src=x onerror=alert(1)&gt;"
    page = page_of(f'<x-value value="/a" label="{evil}">\n\n<x-slider value="{evil}">')
    assert "<img" not in page.html
