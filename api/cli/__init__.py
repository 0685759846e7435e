"""The command `twin`: what people type. It holds no logic of its own."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

from api.cli.output import HOME_KEY

COMMAND_MODULES = (
    "api.cli.network",
    "api.cli.ingest",
    "api.cli.simulate",
    "api.cli.evaluate",
    "api.cli.leak",
    "api.cli.balance",
    "api.cli.trace",
    "api.cli.ledger",
    "api.cli.graph",
    "api.cli.serve",
)
"""Each registers its commands; what is heavy is loaded by the command that needs it."""

EXIT_REFUSED = 1
EXIT_UNREADABLE = 2
EXIT_STOPPED = 130
_HOME_HELP = "Folder that holds all state; TWIN_HOME says the same."


def build_app() -> typer.Typer:
    """Return the whole command line."""
    app = typer.Typer(
        name="twin",
        help="The record and the working model of a city's water, from source to tap to outfall.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def root(
        ctx: typer.Context,
        home: Annotated[str | None, typer.Option("--home", help=_HOME_HELP)] = None,
    ) -> None:
        ctx.obj = {HOME_KEY: home}

    for name in COMMAND_MODULES:
        importlib.import_module(name).register(app)
    return app


def home_first(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `--home DIR` moved to the front, where the root option is read."""
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--":
            rest += [argument, *waiting]
        elif argument == "--home":
            front = [argument, *(value for value in [next(waiting, None)] if value is not None)]
        elif argument.startswith("--home="):
            front = [argument]
        else:
            rest.append(argument)
    return front + rest


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code: 0 done, 1 refused, 2 unreadable."""
    given = home_first(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(given))


def run(arguments: Sequence[str]) -> int:
    """Return the exit code of one command; every failed operation becomes one sentence."""
    try:
        code = build_app()(args=list(arguments), standalone_mode=False)
    except typer.Exit as leaving:
        return leaving.exit_code
    except TyperException as misuse:
        # Called without arguments it shows its help, and says nothing more.
        sentence = misuse.format_message()
        return _say(sentence, EXIT_UNREADABLE) if sentence else EXIT_UNREADABLE
    except (typer.Abort, KeyboardInterrupt):
        return _say("stopped; what was acknowledged is recorded", EXIT_STOPPED)
    except Exception as error:  # noqa: BLE001 - the last door: sorted below, bugs go on
        return _failed(error)
    return code if isinstance(code, int) else 0


def _failed(error: Exception) -> int:
    exit_code = getattr(error, "exit_code", None)
    if exit_code is not None:
        return _say(str(error), exit_code)
    if isinstance(error, BrokenPipeError):  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_REFUSED
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return _say(f"{place}{error.strerror or error}", EXIT_UNREADABLE)
    raise error  # a bug: let it be seen whole


def _say(sentence: str, exit_code: int) -> int:
    sys.stderr.write(f"twin: {sentence}\n")
    return exit_code
