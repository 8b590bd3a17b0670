import ast
from pathlib import Path

from engineroom.pages import Site
from engineroom.pages.tags import reference

ROOT = Path(__file__).parents[3]


def test_the_reference_holds_the_table_of_tags() -> None:
    """docs/reference/pages.md lists every tag, attribute and key as tags.py has them."""
    assert reference().rstrip() in (ROOT / "docs/reference/pages.md").read_text()


def test_the_tour_has_no_problems() -> None:
    """Every link, tag and cell of the tour is good."""
    site = Site.load(ROOT / "examples/tour")
    assert list(site.all_problems()) == []
    assert [page.path for page in site.pages] == ["index", "write", "run", "terminal", "slider"]


def test_the_tours_cells_need_only_the_standard_library() -> None:
    """The tour's code can be read, and imports nothing that has to be installed."""
    for page in Site.load(ROOT / "examples/tour").pages:
        for cell in page.plan.cells:
            imported = {
                alias.name
                for node in ast.walk(ast.parse(cell.source))
                if isinstance(node, ast.Import | ast.ImportFrom)
                for alias in node.names
            }
            assert imported <= {"math", "random", "time", "engineroom_values"}
