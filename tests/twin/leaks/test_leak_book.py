from __future__ import annotations

from collections.abc import Callable

import pytest

from ledger.journal import Ledger
from twin.errors import NotFoundError
from twin.ids import AssetNameError
from twin.leaks.book import (
    BookError,
    FoundLeak,
    confirm,
    in_model,
    known_leaks,
    load_book,
    repair,
)
from twin.leaks.records import LeakRun
from twin.leaks.windows import Window
from twin.networks import load_model, load_network

Between = Callable[[str, str], Window]
Clock = Callable[[], int]


@pytest.fixture
def found(journal: Ledger, recorded_run: LeakRun, clock: Clock) -> FoundLeak:
    return confirm(journal, recorded_run.run_id, "V00", clock)


def test_a_confirmed_leak_takes_place_and_flow_from_its_run(
    found: FoundLeak, recorded_run: LeakRun
) -> None:
    assert (found.pipe_id, found.place, found.flow_m3s) == ("V00", 0.25, 0.002)
    assert found.since_ns == recorded_run.inputs.window.from_ns
    assert found.repaired_ns is None


def test_a_confirmed_leak_is_read_back_from_the_ledger(journal: Ledger, found: FoundLeak) -> None:
    assert load_book(journal, "block") == [found]
    assert load_book(journal, "other") == []


def test_a_pipe_that_the_run_did_not_list_takes_its_best_flow(
    journal: Ledger, recorded_run: LeakRun, clock: Clock
) -> None:
    found = confirm(journal, recorded_run.run_id, "link:UP", clock)
    assert (found.pipe_id, found.place, found.flow_m3s) == ("UP", 0.5, 0.002)


def test_an_unknown_run_cannot_be_confirmed(journal: Ledger, clock: Clock) -> None:
    with pytest.raises(NotFoundError, match="no leak run 'leak-none' is recorded"):
        confirm(journal, "leak-none", "V00", clock)


def test_a_pipe_that_the_network_does_not_have_cannot_be_confirmed(
    journal: Ledger, recorded_run: LeakRun, clock: Clock
) -> None:
    with pytest.raises(AssetNameError, match="no such asset"):
        confirm(journal, recorded_run.run_id, "P999", clock)


@pytest.mark.parametrize("name", ["V1", "node:J11"])
def test_what_is_no_pipe_cannot_be_confirmed(
    journal: Ledger, recorded_run: LeakRun, clock: Clock, name: str
) -> None:
    with pytest.raises(BookError, match="not a pipe"):
        confirm(journal, recorded_run.run_id, name, clock)


@pytest.mark.usefixtures("found")
def test_a_run_is_confirmed_once(journal: Ledger, recorded_run: LeakRun, clock: Clock) -> None:
    with pytest.raises(BookError, match="already confirmed, on pipe V00"):
        confirm(journal, recorded_run.run_id, "H00", clock)


def test_a_leak_cannot_begin_after_the_run_saw_it(
    journal: Ledger, recorded_run: LeakRun, clock: Clock
) -> None:
    late_ns = recorded_run.inputs.window.to_ns
    with pytest.raises(BookError, match="cannot be the one"):
        confirm(journal, recorded_run.run_id, "V00", clock, since_ns=late_ns)


def test_a_repair_before_a_confirmation_is_refused_with_the_remedy(
    journal: Ledger, recorded_run: LeakRun, clock: Clock
) -> None:
    with pytest.raises(BookError, match="twin leak confirm leak-000000000001 PIPE"):
        repair(journal, recorded_run.run_id, recorded_run.inputs.window.to_ns, clock)


def test_a_leak_is_repaired_once(journal: Ledger, found: FoundLeak, clock: Clock) -> None:
    done = repair(journal, found.run_id, found.since_ns + 1, clock)
    assert load_book(journal) == [done]
    with pytest.raises(BookError, match="already repaired"):
        repair(journal, found.run_id, found.since_ns + 2, clock)


def test_a_repair_is_after_the_start(journal: Ledger, found: FoundLeak, clock: Clock) -> None:
    with pytest.raises(BookError, match="not after the leak began"):
        repair(journal, found.run_id, found.since_ns, clock)


def test_a_repair_is_not_in_the_future(journal: Ledger, found: FoundLeak, clock: Clock) -> None:
    with pytest.raises(BookError, match="in the future"):
        repair(journal, found.run_id, clock() + 1, clock)


def test_a_refused_entry_leaves_the_ledger_as_it_was(
    journal: Ledger, recorded_run: LeakRun, clock: Clock
) -> None:
    height = journal.height
    with pytest.raises(BookError):
        repair(journal, recorded_run.run_id, clock(), clock)
    with pytest.raises(AssetNameError):
        confirm(journal, recorded_run.run_id, "P999", clock)
    assert journal.height == height


def test_a_found_leak_is_in_the_model_of_every_later_window_until_its_repair(
    journal: Ledger, found: FoundLeak, clock: Clock, window: Between
) -> None:
    before, after = window("01-02T00:00", "01-03T00:00"), window("02-01T00:00", "02-02T00:00")
    assert known_leaks([found], before, None) == []
    assert [one.pipe_id for one in known_leaks([found], after, None)] == ["V00"]
    done = repair(journal, found.run_id, window("01-20T00:00", "01-21T00:00").from_ns, clock)
    assert known_leaks([done], after, None) == []
    assert known_leaks([done], window("01-10T00:00", "01-20T00:00"), None) != []


def test_the_same_window_run_again_holds_the_found_leak(
    found: FoundLeak, recorded_run: LeakRun
) -> None:
    assert len(known_leaks([found], recorded_run.inputs.window, None)) == 1


def test_whether_a_found_leak_ran_in_the_reference_is_known(
    found: FoundLeak, window: Between
) -> None:
    current = window("02-01T00:00", "02-02T00:00")
    (new,) = known_leaks([found], current, window("01-02T00:00", "01-03T00:00"))
    (old,) = known_leaks([found], current, window("01-10T00:00", "01-12T00:00"))
    assert (new.is_in_reference, old.is_in_reference) == (False, True)


def test_a_leak_that_begins_inside_a_window_is_refused(found: FoundLeak, window: Between) -> None:
    with pytest.raises(BookError, match="begins at 2018-01-07T22:00:00Z, inside"):
        known_leaks([found], window("01-07T00:00", "01-09T00:00"), None)


def test_a_leak_that_ran_only_in_the_reference_is_refused(
    journal: Ledger, found: FoundLeak, clock: Clock, window: Between
) -> None:
    done = repair(journal, found.run_id, window("01-20T00:00", "01-21T00:00").from_ns, clock)
    current, reference = window("02-01T00:00", "02-02T00:00"), window("01-10T00:00", "01-12T00:00")
    with pytest.raises(BookError, match="choose a reference without it"):
        known_leaks([done], current, reference)


def test_a_known_leak_stands_in_the_model_by_the_index_of_its_pipe(
    journal: Ledger, found: FoundLeak, window: Between
) -> None:
    model = load_model(journal, load_network(journal, "block"))
    known = known_leaks([found], window("02-01T00:00", "02-02T00:00"), None)
    (leak,) = in_model(known, model)
    assert model.link_id[leak.link] == "V00"
    assert (leak.place, leak.flow_m3s, leak.is_in_reference) == (0.25, 0.002, False)
