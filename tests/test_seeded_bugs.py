"""Bugs put in on purpose: the tests that stand for the store's promises find every one of them.

All in the long profile (`make torture`), otherwise those that are found within a second or two.
"""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

import seeded_bugs
import test_sequences
from seeded_bugs import Set
from stores import STORES, Loader, empty_store, load, store_url  # noqa: F401  (fixtures)
from test_kills import Experiment, experiment  # noqa: F401  (a fixture)
from test_load_crashes import (  # noqa: F401  (a fixture)
    Cutter,
    cutter,
)
from test_load_crashes import (
    test_a_commit_whose_answer_is_lost_is_looked_up as lost_commit_is_looked_up,
)
from test_load_ledger import test_a_run_that_was_overtaken_can_commit_nothing as overtaken_is_fenced
from test_sequences import Sequences, served

LONG = bool(os.environ.get("CRMMAP_TORTURE_STEPS") or os.environ.get("CRMMAP_TORTURE_KILLS"))

FOUND_BY_SEQUENCES: list[Callable[[Set], None]] = [
    seeded_bugs.conflict_ignored_but_counted,
    seeded_bugs.unchanged_rows_are_written,
    seeded_bugs.rejects_are_swallowed,
    seeded_bugs.interrupted_counts_as_ended,
    seeded_bugs.cursor_goes_where_records_say,
    seeded_bugs.waiting_is_never_tried_again,
    seeded_bugs.waiting_is_forgotten,
    seeded_bugs.an_older_version_overwrites,
    seeded_bugs.what_is_listed_again_stays_gone,
    seeded_bugs.what_waits_and_is_gone_goes_on_waiting,
    seeded_bugs.the_first_is_not_kept,
    seeded_bugs.links_vanish_that_nobody_asked_for,
]
BETWEEN = [f"load.after_rows:{number}" for number in (2, 4, 6, 8)]
OF_SOME = {seeded_bugs.links_vanish_that_nobody_asked_for: [("teams", "seats")]}
"""The streams that a bug is looked for among, where among all it takes too long."""


@pytest.mark.timeout(3600 if LONG else 900)
@pytest.mark.parametrize("bug", FOUND_BY_SEQUENCES if LONG else FOUND_BY_SEQUENCES[:1])
def test_sequences_find_it(bug: Callable[[Set], None], monkeypatch: pytest.MonkeyPatch) -> None:
    how = settings(
        max_examples=30, stateful_step_count=12, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), report_multiple_bugs=False, database=None,
    )  # fmt: skip
    Sequences.store_of = partial(empty_store, "sqlite")
    bug(monkeypatch.setattr)
    monkeypatch.setattr(test_sequences, "RELATED", OF_SOME.get(bug, test_sequences.RELATED))
    # What a bug does may depend on which thread is quicker: then Hypothesis says that it is flaky.
    with served(), pytest.raises((AssertionError, Flaky)) as found:
        run_state_machine_as_test(Sequences, settings=how)
    assert "a fault of crmmap" not in str(found.value)  # a bug that breaks a run shows nothing


@pytest.mark.parametrize("experiment", STORES[:1], indirect=True)
def test_kills_find_a_cursor_that_is_committed_before_its_data(experiment: Experiment) -> None:
    """Kills between the two; without the bug, the same kills do no harm.

    Which stream is written when is for its threads to say: the last batch of one that is always
    read whole is not missed.
    """
    for place in BETWEEN:
        experiment.change()
        assert experiment.killed(place)
        experiment.converges()
    assert any(_harms(experiment, place) for place in BETWEEN)


def _harms(experiment: Experiment, place: str) -> bool:
    """Say whether the tables differ after a kill there, with the bug."""
    experiment.change()
    assert experiment.killed(place, bug="cursor_before_data")
    try:
        experiment.converges()
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("store_url", STORES[1:2], indirect=True)
def test_cut_connections_find_a_lost_commit_that_is_done_again_blindly(
    cutter: tuple[Cutter, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeded_bugs.a_lost_commit_is_done_again_blindly(monkeypatch.setattr)
    with pytest.raises(Exception, match="fenced"):
        lost_commit_is_looked_up(cutter, "after", 1)


@pytest.mark.parametrize("store_url", STORES[:1], indirect=True)
def test_zombies_find_that_nobody_is_shut_out(
    load: Callable[..., Loader], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeded_bugs.nobody_is_shut_out(monkeypatch.setattr)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        overtaken_is_fenced(load)
