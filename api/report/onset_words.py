"""What the search for an onset found, in sentences."""

from __future__ import annotations

from twin.instants import NS_PER_S, format_instant
from twin.leaks.detecting import Detection
from twin.leaks.windows import Window

_LITRES = 1_000.0
_N_TAGS = 10
_MINUTE_NS = 60 * NS_PER_S


def onset_sentence(one: Detection) -> str:
    """Return when a leak began, how large it is where that is known, and what shows it."""
    rise_m3s = one.flow_m3s or 0.0  # a fall of the inflow is the users', not the leak's
    flow = f", about {rise_m3s * _LITRES:.1f} L/s" if rise_m3s > 0 else ""
    seen = f", clearest at {', '.join(one.tags[:_N_TAGS])}" if one.tags else ""
    return f"onset at {format_instant(one.onset_ns)}{flow}{seen}"


def window_to_run(one: Detection) -> Window:
    """Return where to localize the leak: from its onset to the minute after the search."""
    return Window(one.onset_ns, -(-one.window.to_ns // _MINUTE_NS) * _MINUTE_NS)


def next_run(one: Detection) -> str:
    """Return the command that localizes the leak there."""
    window = window_to_run(one)
    times = f"--from {format_instant(window.from_ns)} --to {format_instant(window.to_ns)}"
    return f"twin leak run --network {one.network} {times}"
