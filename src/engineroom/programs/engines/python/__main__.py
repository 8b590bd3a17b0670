"""Starts the Python engine: `python .../engines/python/__main__.py`, with its descriptors in the environment.

Knows only how to load this folder as the package `engineroom_engine`. The folder itself leaves `sys.path`, where a
user's modules called `display` or `loop` would otherwise meet ours.
"""

from __future__ import annotations

import importlib.util
import os
import sys


def load_package() -> None:
    """Put this folder into `sys.modules` as `engineroom_engine`, and the working folder in its place on `sys.path`."""
    folder = os.path.dirname(os.path.abspath(__file__))
    spec = importlib.util.spec_from_file_location(
        "engineroom_engine",
        os.path.join(folder, "__init__.py"),
        submodule_search_locations=[folder],
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["engineroom_engine"] = package
    spec.loader.exec_module(package)
    sys.path[0] = ""


if __name__ == "__main__":
    load_package()
    from engineroom_engine.loop import main  # type: ignore[import-not-found]

    main()
