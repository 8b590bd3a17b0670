"""Builds the browser bundle with npm before the package is packed, so that a wheel carries it.

- From a checkout, the bundle is always built: a wheel never carries an old one.
- From an unpacked sdist, the bundle that came with it is used: no npm is needed.
- For an editable install it is built when it is missing and npm is there; after that, `make bundle`
  keeps it up to date.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ADVICE = "Install npm with Node 18 or newer (Debian 12, Ubuntu 24.04: apt-get install npm)"


class BundleHook(BuildHookInterface):  # type: ignore[type-arg]
    """Hatchling's hook: called before a wheel, an editable wheel or an sdist is packed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        built = (root / "src/engineroom/server/static/bundle/engineroom.js").is_file()
        from_sdist = (root / "PKG-INFO").is_file()
        if built and (from_sdist or version == "editable"):
            return
        npm = shutil.which("npm")
        if npm is not None:
            _build(npm, root / "web")
        elif version == "editable":
            self.app.display_warning(f"No npm, so no browser bundle. {ADVICE}, then: make bundle")
        else:
            raise RuntimeError(f"engineroom's browser bundle is built with npm. {ADVICE}.")


def _build(npm: str, web: Path) -> None:
    if not _packages_are_current(web):
        subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=web, check=True)
    subprocess.run([npm, "run", "build"], cwd=web, check=True)


def _packages_are_current(web: Path) -> bool:
    """Whether `node_modules` was installed from this lock file; npm keeps a copy of it there."""
    installed = web / "node_modules/.package-lock.json"
    lock = web / "package-lock.json"
    return installed.is_file() and installed.stat().st_mtime >= lock.stat().st_mtime
