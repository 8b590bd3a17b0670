"""`engineroom serve`: the options of one server. What they mean is in `server.settings`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

HELP = """
Serve a folder of Markdown as a live site, or shared documents alone.

Every visitor of a page gets a room of it, or shares one by its link. Without SITE, the server keeps
shared documents alone: any Yjs client may connect to a WebSocket of any path, Hocuspocus' to
/hocuspocus, y-sweet's to /y-sweet.

Examples:

    engineroom serve notes/                      a site, for this machine alone

    engineroom serve notes/ --port 0 --open      on a free port, in the browser

    engineroom serve --data documents/           documents for Yjs clients

    engineroom serve --config engineroom.toml    with settings from a file

    engineroom serve notes/ --host 0.0.0.0       for the network; visitors need the printed token

    engineroom serve notes/ --allow-host rooms.example.org      behind a proxy of that name

There are many more settings (stores, access, limits, history…): in a TOML file (--config), or in the
environment, ENGINEROOM_DURABILITY=os. A name that is none is refused, with the nearest one that is.
"""


def serve(
    site: Annotated[
        str | None,
        typer.Argument(metavar="SITE", help="A folder of Markdown.", show_default=False),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(metavar="HOST", help="Address to listen on. [default: 127.0.0.1]"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(metavar="PORT", help="Port to listen on; 0 picks a free one. [default: 8000]"),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Folder for documents. [default: below the XDG data folder]"
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN", help="Token that visitors need. [default: made once, and kept]"
        ),
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Ask for no token; on this machine alone.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="Answer to this host name too; may be repeated."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Let pages of this origin in too; may be repeated."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file with settings.")
    ] = None,
    open: Annotated[bool, typer.Option("--open", help="Open the browser.")] = False,  # noqa: A002
) -> None:
    stated = {name: value for name, value in locals().items() if name != "config"}
    from engineroom.server.settings import load_settings

    settings = load_settings(stated, os.environ, config)

    from engineroom.server import run

    run.serve(settings)


serve.__doc__ = HELP
