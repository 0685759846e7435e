"""What a command prints: words for people or one JSON document, and progress beside it."""

from __future__ import annotations

import json as json_text
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from api.home import Home
from api.settings import read_settings

HOME_KEY = "home"


def home_of(ctx: typer.Context) -> Home:
    """Return the home that this command works on: `--home`, else `TWIN_HOME`, else `.home`."""
    settings = read_settings()
    chosen = (ctx.find_root().obj or {}).get(HOME_KEY)
    path = Path(chosen) if chosen is not None else settings.home
    return Home(path.expanduser(), settings=settings.model_copy(update={"home": path}))


@dataclass(slots=True)
class Output:
    """Prints for people on standard output, or with `--json` one document and nothing else.

    Progress always goes to standard error.
    """

    json: bool = False
    _bar: Progress | None = field(default=None, init=False)
    _tasks: dict[str, TaskID] = field(default_factory=dict, init=False)
    _logged: dict[str, int] = field(default_factory=dict, init=False)

    def say(self, *what: RenderableType) -> None:
        """Print for people; with `--json`, nothing."""
        if not self.json:
            self._stop()
            Console(soft_wrap=True, highlight=False).print(*what)

    def note(self, text: str) -> None:
        """Print a remark on standard error, in both modes."""
        self._stop()
        Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(text)

    def progress(self, step: str, done: int, total: int) -> None:
        """Show how much of a step is done, on standard error; in a log, a line a step."""
        if not sys.stderr.isatty():
            self._log(step, done, total)
            return
        bar = self._started()
        if step not in self._tasks:
            self._tasks[step] = bar.add_task(step, total=max(total, 1))
        bar.update(self._tasks[step], completed=done, total=max(total, 1))
        if done >= total and all(task.finished for task in bar.tasks):
            self._stop()

    def document(self, content: Mapping[str, Any]) -> None:
        """Print the one JSON document of the command; without `--json`, nothing."""
        self._stop()
        if self.json:
            text = json_text.dumps(content, ensure_ascii=False, allow_nan=False)
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def _log(self, step: str, done: int, total: int) -> None:
        if step not in self._logged or done >= total > self._logged[step]:
            sys.stderr.write(f"{step}: {done} of {total}\n")
            self._logged[step] = done

    def _started(self) -> Progress:
        if self._bar is None:
            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
        return self._bar

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            self._tasks.clear()
