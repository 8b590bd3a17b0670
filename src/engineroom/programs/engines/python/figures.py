"""matplotlib figures as outputs: a backend that exists from the moment the user imports matplotlib.

Knows the interface of matplotlib's backend modules. Imports nothing of it before the user does. Figures are shown, as
PNG, and closed, by `plt.show()` and at the end of the cell.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from .display import Screen

BACKEND = "engineroom_figures"


class Figures:
    """Finds the import of matplotlib, and gives it the backend. An import finder and a loader at once."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        # Figures that the cell has shown by itself (`fig` as its last line): its end does not show them again.
        self._shown: set[object] = set()

    def install(self) -> None:
        """Wait for the import."""
        sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == BACKEND:
            return ModuleSpec(BACKEND, self)  # type: ignore[arg-type]
        if name != "matplotlib":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            _after_import(spec.loader, lambda: self._choose(sys.modules["matplotlib"]))
        return spec

    def create_module(self, _spec: ModuleSpec) -> None:
        """An ordinary module will do."""

    def exec_module(self, module: Any) -> None:
        """Fill the backend module, when matplotlib asks for it."""
        from matplotlib.backend_bases import FigureManagerBase  # type: ignore[import-not-found]
        from matplotlib.backends.backend_agg import (  # type: ignore[import-not-found]
            FigureCanvasAgg,
        )
        from matplotlib.figure import Figure  # type: ignore[import-not-found]

        figures = self

        class Manager(FigureManagerBase):  # type: ignore[misc]
            def show(self) -> None:
                figures._screen.show(self.canvas.figure)

        class Canvas(FigureCanvasAgg):  # type: ignore[misc]
            manager_class = Manager

        module.FigureCanvas = Canvas
        module.FigureManager = Manager
        module.show = self.show_all
        Figure._repr_png_ = self._drawing()

    def show_all(self, *_arguments: object, **_options: object) -> None:
        """Show every open figure, and close it. Figures of another backend, which the user chose, are left alone."""
        if BACKEND not in sys.modules:
            return
        from matplotlib._pylab_helpers import Gcf  # type: ignore[import-not-found]

        for manager in Gcf.get_all_fig_managers():
            if isinstance(manager, sys.modules[BACKEND].FigureManager):
                Gcf.destroy(manager)
                if manager.canvas.figure not in self._shown:
                    manager.show()
        self._shown.clear()

    def _drawing(self) -> Callable[[Any], bytes]:
        # A function, not a bound method: as an attribute of the class it takes the figure as its first argument.
        def draw(figure: Any) -> bytes:
            self._shown.add(figure)
            return _draw(figure)

        return draw

    @staticmethod
    def _choose(matplotlib: Any) -> None:
        matplotlib.use(f"module://{BACKEND}")


def _draw(figure: Any) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if not isinstance(figure.canvas, FigureCanvasAgg):
        FigureCanvasAgg(figure)
    target = io.BytesIO()
    figure.savefig(target, format="png")
    return target.getvalue()


def _after_import(loader: Any, then: Callable[[], None]) -> None:
    """Call `then` once the module has been executed. The loader stays in place: resources are found through it."""
    execute = loader.exec_module

    def execute_then(module: ModuleType) -> None:
        del loader.exec_module
        execute(module)
        then()

    loader.exec_module = execute_then
