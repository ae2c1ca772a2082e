"""Bugs put into the engine on purpose, to see that the tests find them: each patches one function.

They apply to this process. `test_seeded_bugs` undoes them; a process that is killed need not.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import Any

import polars as pl

from crmmap.errors import CrmmapError
from crmmap.kinds.writes import Snapshot
from crmmap.load import (
    Store,
    Tally,
    Transaction,
    books,
    deleting,
    rejects,
    transaction,
    upsert,
    vanishing,
)  # fmt: skip
from crmmap.loop import cursors

Set = Callable[[Any, str, Any], None]


class _Undone(CrmmapError):
    pass


def cursor_before_data(set_: Set) -> None:
    """The position is committed in a transaction of its own, before the rows."""
    commit = Store.commit

    def commit_twice(store: Store, mark: Any, work: Callable[[Transaction], Tally]) -> Any:
        told: list[Tally] = []

        def ask(given: Transaction) -> Tally:
            told.append(work(given))
            raise _Undone

        with suppress(_Undone):
            commit(store, mark, ask)
        store.ask(lambda session: books.move_cursor(session, mark, told[-1]))
        moved = replace(books.after(mark, told[-1]), batch_seq=mark.batch_seq + 1)
        tally = replace(told[-1], cursor=None)
        done, _ = commit(
            store, replace(moved, position=mark.position), lambda t: (work(t), tally)[1]
        )
        return done, told[-1]

    set_(Store, "commit", commit_twice)


def conflict_ignored_but_counted(set_: Set) -> None:
    set_(upsert, "WRITING", ("inserted",))


def unchanged_rows_are_written(set_: Set) -> None:
    set_(upsert, "WRITING", ("inserted", "updated", "unchanged"))


def cursor_goes_where_records_say(set_: Set) -> None:
    """Also into the future: what changes until then is never asked for."""
    set_(cursors, "not_after", lambda text, _: text)


def interrupted_counts_as_ended(set_: Set) -> None:
    move = books.move_cursor

    def ended(session: Any, mark: Any, tally: Tally) -> None:
        move(session, mark, replace(tally, position=None, ended=True))

    set_(books, "move_cursor", ended)


def rejects_are_swallowed(set_: Set) -> None:
    set_(rejects, "keep", lambda *_: None)


def waiting_is_never_tried_again(set_: Set) -> None:
    set_(import_module("crmmap.loop.run"), "settle_waiting", lambda _, reports: tuple(reports))


def waiting_is_forgotten(set_: Set) -> None:
    held = transaction.deferred.hold

    def forget(session: Any, mark: Any, arrivals: Any) -> Any:
        return held(session, mark, replace(arrivals, waiting=arrivals.waiting.clear()))

    set_(transaction.deferred, "hold", forget)


def an_older_version_overwrites(set_: Set) -> None:
    set_(upsert, "is_older", lambda _: pl.lit(value=False))


def a_lost_commit_is_done_again_blindly(set_: Set) -> None:
    set_(books, "committed", lambda *_: False)


def nobody_is_shut_out(set_: Set) -> None:
    """The fence: a run commits whatever another has done to its stream meanwhile."""

    def move(session: Any, mark: Any, tally: Tally) -> None:
        return None

    set_(books, "move_cursor", move)


def what_is_listed_again_stays_gone(set_: Set) -> None:
    """A sweep never takes the mark off a row that is back."""
    set_(deleting, "_undeleted", lambda _, __, rows, ___: [False] * rows.height)


def what_waits_and_is_gone_goes_on_waiting(set_: Set) -> None:
    """A complete read does not settle what waits of records that it did not meet."""
    set_(Transaction, "unmet_waiting", lambda *_: iter(()))


def the_first_is_not_kept(set_: Set) -> None:
    """Whoever comes later changes the row, as where nothing is said."""
    judged = upsert.judged
    set_(upsert, "judged", lambda target, *given: judged(replace(target, first=False), *given))


def links_vanish_that_nobody_asked_for(set_: Set) -> None:
    """A read of links for some rows of their parent is taken for one of all."""
    unmet = vanishing._unmet
    set_(vanishing, "_unmet", lambda session, target, *given: unmet(
        session, replace(target, write=Snapshot()), *given
    ))  # fmt: skip
