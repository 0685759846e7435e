"""A file as EPANET understands it, written anew."""

from __future__ import annotations

import re
from pathlib import Path

from epanet import toolkit as en

from hydraulics.epanet.session import quiet, said
from hydraulics.errors import ModelFileError

_UNKNOWN_TO_WNTR = re.compile(
    r"^\[LEAKAGE\]\s*\n(?:\s*(?:;.*)?\n)*(?=\[)|^\s*(?:BACKFLOW ALLOWED|STATISTIC)\b.*\n",
    re.MULTILINE,
)
"""What EPANET writes and WNTR does not read: an empty section of leaks, and two options."""


def save_copy(inp: Path, copy: Path) -> None:
    """Write EPANET's own copy of a file, for WNTR to read where it stumbles over the file itself.

    It is for the network alone: emitters whose backflow the file forbids may flow back in the copy.

    Args:
        inp: The file.
        copy: Where to write; EPANET's report goes beside it.

    Raises:
        ModelFileError: EPANET cannot read the file.
    """
    project = en.createproject()
    try:
        with quiet():
            en.open(project, str(inp), str(copy.with_suffix(".report")), "")
            en.saveinpfile(project, str(copy))
        text = copy.read_text(encoding="utf-8", errors="replace")
        copy.write_text(_UNKNOWN_TO_WNTR.sub("", text), encoding="utf-8")
    except Exception as error:
        raise ModelFileError(said(error)) from error
    finally:
        with quiet():
            en.deleteproject(project)
