from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ledger.journal import Ledger
from twin.errors import RefusedError
from twin.leaks.detecting import Detection, find_onsets, keep_onsets, load_detections
from twin.leaks.windows import NoReadingsError, Window

Between = Callable[[str, str], Window]


@pytest.fixture
def onset(window: Between) -> Detection:
    searched = window("01-08T00:00", "01-09T00:00")
    return Detection(
        detection_id="onset-0123456789ab",
        network="block",
        onset_ns=searched.from_ns + 1,
        seen_ns=searched.from_ns + 2,
        flow_m3s=None,
        tags=("P2", "P1"),
        statistic=7.5,
        window=searched,
        reference=window("01-02T00:00", "01-03T00:00"),
        readings_sha256="a" * 64,
        inp_sha256="b" * 64,
    )


def test_an_onset_is_recorded_once_and_read_back(
    journal: Ledger, onset: Detection, clock: Callable[[], int]
) -> None:
    (first,) = keep_onsets(journal, [onset], clock)
    height = journal.height
    (second,) = keep_onsets(journal, [onset], clock)
    assert second == first
    assert journal.height == height
    assert load_detections(journal, "block") == [first]
    assert first.evidence is not None


def test_an_onset_without_a_reference_is_read_back(
    journal: Ledger, onset: Detection, clock: Callable[[], int]
) -> None:
    keep_onsets(journal, [replace(onset, reference=None)], clock)
    assert load_detections(journal)[0].reference is None


def test_a_network_without_pressures_is_refused(journal: Ledger) -> None:
    with pytest.raises(RefusedError, match="ingest some first"):
        find_onsets(journal, "block")


def test_a_window_without_readings_is_refused(
    journal: Ledger,
    read_in: Callable[..., None],
    ticks: Callable[..., list[int]],
    window: Between,
) -> None:
    read_in("P1", "node:J11", ticks("01-08T00:00", 3), [1, 2, 3])
    empty = window("03-01T00:00", "03-02T00:00")
    with pytest.raises(NoReadingsError):
        find_onsets(journal, "block", empty.from_ns, empty.to_ns)
