"""`twin leak run --leaks`: whether one leak more shows beside the one that the run found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from twin.errors import UnreadableError

if TYPE_CHECKING:
    from api.cli.output import Output
    from api.home import Home
    from twin.leaks.runs import LeakRun
    from twin.leaks.several import Several

_LITRES = 1_000.0
_MOST = 4
_AUTO = "auto"

Leaks = Annotated[
    str,
    typer.Option(
        "--leaks",
        metavar="N|auto",
        help="Look for up to N leaks at once (1 to 4); auto looks for as many as show.",
    ),
]


def read_leaks(text: str) -> int:
    """Return the most leaks to look for.

    Raises:
        UnreadableError: Neither `auto` nor a number from 1 to 4.
    """
    if text == _AUTO:
        return _MOST
    if text in {str(number) for number in range(1, _MOST + 1)}:
        return int(text)
    raise UnreadableError(f"--leaks {text}: give a number from 1 to {_MOST}, or {_AUTO}")


def say_several(home: Home, run: LeakRun, most: int, out: Output) -> dict[str, Any]:
    """Look for more leaks than one, say what was found, and return it as JSON."""
    if most == 1:
        return {}
    from rich.text import Text  # noqa: PLC0415 - only for people

    from twin.leaks.several import find_several, several_document  # noqa: PLC0415 - loads EPANET

    several = find_several(home.reader(), run, most=most, progress=out.progress)
    out.say(Text(several_sentence(several)))
    return dict(several_document(several))


def several_sentence(several: Several) -> str:
    """Say whether there is a second leak, and where each is."""
    alone = several.number[0]
    if len(several.leaks) == 1:
        return f"no second leak shows: one leak alone has a probability of {alone:.1%}"
    near = "; ".join(
        f"near pipe {one.pipe_id} ({one.flow_m3s * _LITRES:.1f} L/s)" for one in several.leaks
    )
    strength = "strong" if several.is_more_than_one else "weak"
    return (
        f"the evidence for a second leak is {strength} ({1.0 - alone:.1%}): "
        f"{len(several.leaks)} leaks explain the readings best, {near}"
    )
