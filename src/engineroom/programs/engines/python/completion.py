"""How code may go on at a cursor: names, attributes, keywords, builtins and modules.

Knows source text and a namespace. Calls nothing of the user's but `__dir__`: attributes on the way are read without
running properties or `__getattr__`, and modules are looked for without importing them. A string or a comment has no
completions.
"""

from __future__ import annotations

import builtins
import io
import keyword
import re
import sys
import tokenize
import types
from collections.abc import Iterable
from typing import Any, NamedTuple

MAX_MATCHES = 1000
MAX_NAME = 200

_DOTTED = re.compile(r"((?:[^\W\d]\w*\s*\.\s*)*)([^\W\d]\w*)?\Z")
_IMPORT = re.compile(r"(?:^|[;:])\s*import\s+(?:[\w.]+(?:\s+as\s+\w+)?\s*,\s*)*([\w.]*)\Z")
_FROM = re.compile(r"(?:^|[;:])\s*from\s+([\w.]*)\Z")
_FROM_IMPORT = re.compile(r"(?:^|[;:])\s*from\s+([\w.]+)\s+import\s+\(?(?:[\w\s,]*,\s*)?(\w*)\Z")
_MISSING = object()


class Completion(NamedTuple):
    """Each match may stand in place of code points `start` to `end`."""

    start: int
    end: int
    matches: list[str]


def complete(code: str, cursor: int, namespace: dict[str, Any]) -> Completion:
    """How `code` may go on at `cursor` (code points), in alphabetical order; private names only where one is begun."""
    cursor = max(0, min(cursor, len(code)))
    before = code[:cursor]
    if _in_text(before):
        return Completion(cursor, cursor, [])
    line = before.rpartition("\n")[2]
    begun, candidates = _candidates(line, before, namespace)
    matches = _matching(begun, candidates)
    return Completion(cursor - len(begun), cursor, matches)


def _candidates(line: str, before: str, namespace: dict[str, Any]) -> tuple[str, Iterable[str]]:
    found = _FROM_IMPORT.search(line)
    if found:
        return found[2], _names_in_module(found[1])
    found = _IMPORT.search(line) or _FROM.search(line)
    if found:
        parent, _, begun = found[1].rpartition(".")
        return begun, _submodules(parent) if parent else _modules()
    found = _DOTTED.search(line)
    assert found is not None
    path, begun = found[1], found[2] or ""
    head = line[: found.start()].rstrip()
    if not path:
        # After a dot that no plain name precedes (`f().`, `1.`) there is nothing to say without evaluating.
        return begun, () if head.endswith(".") else _names(before, begun, namespace)
    if head.endswith("."):
        return begun, ()
    return begun, _attributes([part.strip() for part in path.split(".")[:-1]], namespace)


def _matching(begun: str, candidates: Iterable[str]) -> list[str]:
    found = {
        name
        for name in candidates
        if name.startswith(begun)
        and (begun.startswith("_") or not name.startswith("_"))
        and len(name) <= MAX_NAME
    }
    return sorted(found, key=lambda name: (name.startswith("__"), name))[:MAX_MATCHES]


def _names(before: str, begun: str, namespace: dict[str, Any]) -> set[str]:
    names = {*list(namespace), *dir(builtins), *keyword.kwlist}
    # Names that the code itself brings: parameters and variables of what has not run yet.
    earlier = before[: len(before) - len(begun)]
    return names.union(re.findall(r"[^\W\d]\w{2,}", earlier[-20_000:]))


def _attributes(path: list[str], namespace: dict[str, Any]) -> list[str]:
    value = namespace.get(path[0], _MISSING)
    if value is _MISSING:
        value = getattr(builtins, path[0], _MISSING)
    for name in path[1:]:
        if value is _MISSING:
            break
        value = _read(value, name)
    return [] if value is _MISSING else _dir(value)


def _read(value: object, name: str) -> object:
    """The attribute, when reading it runs nothing: `_MISSING` for properties and the like."""
    import inspect

    found = inspect.getattr_static(value, name, _MISSING)
    if isinstance(found, types.MemberDescriptorType):  # a slot
        try:
            return found.__get__(value)
        except AttributeError:
            return _MISSING
    if isinstance(found, (staticmethod, classmethod)):
        return found.__func__
    if isinstance(found, types.FunctionType):
        return found
    static_get = inspect.getattr_static(type(found), "__get__", None)
    return found if static_get is None or isinstance(found, type) else _MISSING


def _dir(value: object) -> list[str]:
    try:
        return [name for name in dir(value) if isinstance(name, str) and name.isidentifier()]
    except Exception:  # the user's `__dir__` failed: nothing to offer
        return []


def _modules() -> set[str]:
    import pkgutil

    return {module.name for module in pkgutil.iter_modules()}.union(sys.builtin_module_names)


def _submodules(name: str) -> set[str]:
    import pkgutil

    return {module.name for module in pkgutil.iter_modules(_search_path(name))}


def _search_path(name: str) -> list[str]:
    """Where a package's modules are, found without importing it; empty when it is no package."""
    from importlib.machinery import PathFinder

    path: list[str] | None = None
    dotted = ""
    for part in name.split("."):
        dotted = f"{dotted}.{part}" if dotted else part
        spec = PathFinder.find_spec(dotted, path)
        if spec is None or spec.submodule_search_locations is None:
            return []
        path = list(spec.submodule_search_locations)
    return path or []


def _names_in_module(name: str) -> set[str]:
    module = sys.modules.get(name)
    names = set(_dir(module)) if module is not None else set()
    return names | _submodules(name)


def _in_text(before: str) -> bool:
    """Whether the end of `before` is inside a string or a comment."""
    last = None
    try:
        for last in tokenize.generate_tokens(io.StringIO(before).readline):
            if last.type == tokenize.COMMENT and last.end == _end_of(before):
                return True
            if last.type == tokenize.ERRORTOKEN and last.string in ("'", '"'):
                return last.end[0] == _end_of(before)[0]
    except tokenize.TokenError as error:
        return "string" in str(error.args[0])
    except (SyntaxError, ValueError):
        return False
    return False


def _end_of(text: str) -> tuple[int, int]:
    return text.count("\n") + 1, len(text) - (text.rfind("\n") + 1)
