"""The command-line application: its commands, and how a usage error is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from engineroom import __version__
from engineroom.errors import SettingsError

from . import store
from .serve import serve

OVERVIEW = """
Rooms where people and programs work on the same document.

Serve a folder of Markdown as a live site, or shared documents alone:

    engineroom serve notes/

    engineroom serve

Look after stored documents:

    engineroom store --help

Each command has its own help: engineroom serve --help
"""


def run(arguments: Sequence[str]) -> int:
    """Carries out a command line; its exit code.

    Raises:
        EngineroomError: the command cannot be carried out.
    """
    try:
        code = application()(list(arguments), prog_name="engineroom", standalone_mode=False)
    except typer.Abort:
        return 130
    except typer.TyperException as error:
        raise SettingsError(f"{_text_of(error)} (see engineroom --help)") from error
    return code if isinstance(code, int) else 0


def application() -> typer.Typer:
    """The application, with every command."""
    app = typer.Typer(
        add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False
    )
    app.callback(invoke_without_command=True, help=OVERVIEW)(_overview)
    app.command()(serve)
    store.add_to(app)
    return app


def _overview(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        print(f"engineroom {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def _text_of(error: typer.TyperException) -> str:
    format_message = getattr(error, "format_message", None)
    return str(format_message() if format_message else error).rstrip(".")
