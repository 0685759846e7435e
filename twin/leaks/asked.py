"""What decides an answer besides the readings: settings as plain data, and versions."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from importlib import metadata
from typing import cast

from hydraulics.leaks.settings import LocalizeSettings
from hydraulics.leaks.stream.settings import StreamSettings
from twin.events import Plain

_VERSIONS_OF = ("watercourse", "wntr", "owa-epanet", "numpy", "scipy")


def plain_settings(settings: LocalizeSettings | StreamSettings) -> Mapping[str, Plain]:
    """Return settings as plain data, in which a tuple is a list."""
    plain = json.loads(json.dumps(dataclasses.asdict(settings), allow_nan=False))
    return cast("Mapping[str, Plain]", plain)


def versions_now() -> dict[str, str]:
    """Return the versions of what computes a run."""
    versions = {}
    for name in _VERSIONS_OF:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # run from a checkout that was not installed
            versions[name] = "not installed"
    return versions
