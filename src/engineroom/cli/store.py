"""`engineroom store`: looking at stored documents, and taking care of them.

It knows options, exit codes and how results are told; what is done stands in `server.keeping`.
Reading commands may run beside a server; the others claim the data folder, and are refused while a
server has it. Exit codes: 0 when all is well, 1 when something was found or left undone (it is told),
2 when the command cannot be carried out.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

if TYPE_CHECKING:
    from engineroom.server.importing import Imported
    from engineroom.server.keeping import Finding, Place

Result = TypeVar("Result")

GROUP_HELP = """
Look at stored documents, and take care of them.

Without options these commands use the data folder of documents alone; name another with --data, or
the site that it belongs to with --site. Settings of the server count here too: --config, or the
environment.

list, stats, verify and export may run beside a server; compact, delete and import need its data
folder for themselves.

Examples:

    engineroom store list notes/

    engineroom store verify --data documents/

    engineroom store export notes/today --format text

    engineroom store import ystore.db --dry-run
"""

Prefix = Annotated[
    str,
    typer.Argument(
        metavar="PREFIX", help="Documents whose path begins with this.", show_default=False
    ),
]
Data = Annotated[
    str | None,
    typer.Option("--data", metavar="DIR", help="The data folder.", rich_help_panel="Which store"),
]
Site = Annotated[
    str | None,
    typer.Option(
        "--site", metavar="SITE", help="The site whose data it is.", rich_help_panel="Which store"
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="STORE",
        help="sqlite, file, or postgres://…: this one alone. [default: as the settings say]",
        rich_help_panel="Which store",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="TOML file with settings.", rich_help_panel="Which store"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def list_documents(
    prefix: Prefix = "",
    data: Data = None,
    site: Site = None,
    store: StoreOption = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    from engineroom.server import keeping

    found = asyncio.run(keeping.list_documents(_place(data, site, store, config), prefix))
    if as_json:
        _print_json([keeping.as_plain(info) for info in found])
        return
    for info in found:
        changed = _when(info.changed)
        print(f"{info.stored_bytes:>12,}  {info.last_number:>9,}  {changed}  {info.path}")


list_documents.__doc__ = """
List documents: bytes stored, updates, when it last changed, path.

Examples:

    engineroom store list

    engineroom store list notes/ --data documents/ --json
"""


def stats(
    prefix: Prefix = "",
    data: Data = None,
    site: Site = None,
    store: StoreOption = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    from engineroom.server import keeping

    result = asyncio.run(keeping.summarise(_place(data, site, store, config), prefix))
    if as_json:
        _print_json(keeping.as_plain(result))
        return
    print(f"documents       {result.documents:,}")
    print(f"bytes stored    {result.stored_bytes:,}")
    print(f"updates         {result.updates:,}")
    print(f"not compacted   {result.tail_updates:,}")
    print(f"last change     {_when(result.changed)}")
    for info in result.largest:
        print(f"  {info.stored_bytes:>12,}  {info.path}")


stats.__doc__ = """
Count documents, bytes and updates, and name the largest documents.

Examples:

    engineroom store stats

    engineroom store stats notes/ --json
"""


def verify(
    prefix: Prefix = "",
    data: Data = None,
    site: Site = None,
    store: StoreOption = None,
    config: Config = None,
    as_json: AsJson = False,
) -> int:
    from engineroom.server import keeping

    place = _place(data, site, store, config)
    findings: list[Finding] = _gather("verified", lambda tell: keeping.verify(place, prefix, tell))
    return _report(findings, as_json)


verify.__doc__ = """
Read and open every document: checksums, missing updates, and whether it loads.

Each document is opened in a process of its own, with a time limit, so that a bad one harms nothing.
Exit code 1 when something was found.

Examples:

    engineroom store verify

    engineroom store verify notes/today --json
"""


def export(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH", help="Documents.", show_default=False)
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            metavar="PREFIX", help="All documents whose path begins with this ('' for all)."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="A folder, for several documents."),
    ] = None,
    form: Annotated[
        Literal["update", "json", "text"],
        typer.Option("--format", help="One Yjs update (V1), or what the document says."),
    ] = "update",
    data: Data = None,
    site: Site = None,
    store: StoreOption = None,
    config: Config = None,
) -> int:
    from engineroom.errors import SettingsError
    from engineroom.server import keeping

    place = _place(data, site, store, config)
    wanted = asyncio.run(keeping.select(place, paths or (), prefix))
    if output is None and len(wanted) != 1:
        raise SettingsError("without --output DIR, export takes one document")

    def write(finding: keeping.Finding) -> None:
        if finding.content is None:
            return
        if output is None:
            sys.stdout.buffer.write(finding.content)
            sys.stdout.flush()
        else:
            keeping.write_export(output, finding.path, form, finding.content)

    findings = _gather("exported", lambda tell: keeping.export(place, wanted, form, tell), write)
    for finding in findings:
        if finding.problems:
            print(f"{finding.path}: {'; '.join(finding.problems)}", file=sys.stderr)
    return 1 if any(finding.problems for finding in findings) else 0


export.__doc__ = """
Write documents out: to stdout, or into a folder.

An update is what any Yjs client can apply; JSON has each root by its name, text the root texts
alone.

Examples:

    engineroom store export notes/today > today.bin

    engineroom store export notes/today --format text

    engineroom store export --prefix '' --format json --output backup/
"""


def compact(
    prefix: Prefix = "",
    data: Data = None,
    site: Site = None,
    store: StoreOption = None,
    config: Config = None,
    as_json: AsJson = False,
) -> int:
    from engineroom.server import keeping

    place = _place(data, site, store, config)
    findings: list[Finding] = _gather(
        "compacted", lambda tell: keeping.compact(place, prefix, tell)
    )
    return _report(findings, as_json)


compact.__doc__ = """
Put a snapshot in place of each document's log, and give free space back.

A document is left as it is when its snapshot would lack anything: while an update waits for one
that is missing, or could not be applied. History is kept as the settings say. Not beside a server.

Examples:

    engineroom store compact

    engineroom store compact notes/ --data documents/
"""


def delete(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Documents.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data: Data = None,
    site: Site = None,
    store: StoreOption = None,
    config: Config = None,
) -> int:
    from engineroom.server import keeping

    place = _place(data, site, store, config)
    if not yes:
        typer.confirm(f"Delete {', '.join(paths)}, with history and versions?", abort=True)
    missing = asyncio.run(keeping.delete(place, paths))
    for path in missing:
        print(f"{path}: there is no such document", file=sys.stderr)
    return 1 if missing else 0


delete.__doc__ = """
Delete documents, with their history and versions. Not beside a server.

Examples:

    engineroom store delete notes/today

    engineroom store delete notes/today notes/tomorrow --yes
"""


def import_documents(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A store: a file, a database, or a folder.")
    ],
    prefix: Annotated[str, typer.Option(metavar="PREFIX", help="Begin every path with this.")] = "",
    name: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="The path, when there is one document.", show_default=False
        ),
    ] = None,
    strip: Annotated[
        str, typer.Option(metavar="SUFFIX", help="Leave this off the end of names: .y")
    ] = "",
    decompress: Annotated[
        Literal["zlib", "gzip", "bz2", "lzma"] | None,
        typer.Option(help="How the application compressed its updates.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would come in.")] = False,
    data: Data = None,
    site: Site = None,
    store: StoreOption = None,
    config: Config = None,
    as_json: AsJson = False,
) -> int:
    from engineroom.server import keeping
    from engineroom.stores.foreign import DECOMPRESSIONS, read_foreign

    place = _place(data, site, store, config, new=True)
    naming = keeping.Naming(prefix=prefix, name=name, strip=strip)
    found = read_foreign(source, decompress=DECOMPRESSIONS[decompress] if decompress else None)
    results: list[Imported] = _gather(
        "imported",
        lambda tell: keeping.bring_in(place, found, naming, tell, dry_run=dry_run),
    )
    if as_json:
        _print_json([keeping.as_plain(one) for one in results])
    else:
        for one in results:
            where = "" if one.path == one.name else f" as {one.path}"
            print(f"{one.name}{where if one.path else ''}: {one.updates:,} updates")
            for note in (*one.lost, *one.notes):
                print(f"  {note}", file=sys.stderr)
    return 0 if all(one.complete for one in results) else 1


import_documents.__doc__ = """
Bring in the documents of pycrdt-websocket or ypy-websocket.

SOURCE is one of their file stores, one of their SQLite databases (with checkpoints or without), or a
folder of such files. It is only read. A document that is there already is left alone. What cannot be
read is told, and everything before it comes in; exit code 1 then. A data folder that is not there is
made. Not beside a server.

Examples:

    engineroom store import ystore.db --prefix old/

    engineroom store import rooms/ --strip .y --dry-run

    engineroom store import ystore.db --decompress zlib --data documents/
"""


def add_to(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(rich_markup_mode="markdown")
    group.callback(invoke_without_command=True, help=GROUP_HELP)(_overview)
    group.command("list")(list_documents)
    group.command("stats")(stats)
    group.command("verify")(verify)
    group.command("export")(export)
    group.command("compact")(compact)
    group.command("delete")(delete)
    group.command("import")(import_documents)
    app.add_typer(group, name="store")


def _overview(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


def _place(
    data: str | None,
    site: str | None,
    store: str | None,
    config: Path | None,
    *,
    new: bool = False,
) -> Place:
    from engineroom.server.keeping import Place
    from engineroom.server.settings import load_settings

    stated = {"data": data, "site": site, "store": store}
    settings = load_settings(stated, os.environ, config)
    return Place.of(settings, os.environ, this_store_alone=store is not None, new=new)


def _report(findings: Sequence[Finding], as_json: bool) -> int:
    """Print what was found; the exit code."""
    if as_json:
        _print_json([{"path": one.path, "problems": one.problems} for one in findings])
    else:
        for one in findings:
            if one.problems:
                print(f"{one.path}: {'; '.join(one.problems)}")
    return 1 if any(one.problems for one in findings) else 0


def _gather(
    what: str,
    work: Callable[[Callable[[Result], None]], Coroutine[object, object, None]],
    each: Callable[[Result], None] | None = None,
) -> list[Result]:
    """All results of `work`, each handed to `each` first; counted on stderr while somebody looks."""
    results: list[Result] = []
    with _counting(what) as count:

        def tell(result: Result) -> None:
            if each is not None:
                each(result)
            results.append(result)
            count()

        asyncio.run(work(tell))
    return results


@contextmanager
def _counting(what: str) -> Iterator[Callable[[], None]]:
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed} {task.description}"))
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda: progress.advance(task)


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _when(seconds: float) -> str:
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):  # a clock that was wrong
        return f"{seconds:>20.0f}"
