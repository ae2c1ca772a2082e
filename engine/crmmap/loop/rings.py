"""Records that wait for each other, loaded together: however many there are, all or none of them.

What one lacks and another brings is found by keys alone. Then a ring is written in one
transaction, batch after batch of it, as if all its rows were there already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from crmmap.errors import CrmmapError
from crmmap.kinds.writes import Deleting
from crmmap.load import Tally, Transaction
from crmmap.loop.commit import write_rows
from crmmap.loop.settling import batch_of, mark_of, nothing, tally_of
from crmmap.loop.work import Work, with_keys
from crmmap.plan import Step, Target
from crmmap.transform import Known, Name, Waiter, groups, strict, together, unmet
from crmmap.values import DELETED, INDEX, Counts, Reason


def circular(steps: Sequence[Step]) -> list[Step]:
    """Return the steps whose records may wait for each other: their lookups lead back to them."""
    leads: dict[str, set[str]] = {}
    for step in steps:
        parents = {each.parent.table for each in step.lookups if strict(each)}
        leads.setdefault(step.target.table, set()).update(parents)
    for table, parents in leads.items():
        for others in leads.values():
            others.update(parents if table in others else ())
    return [
        step for step in steps
        if step.target.table in leads[step.target.table]
        and not isinstance(step.target.write, Deleting)
        and not _translated(step) & {*step.target.key}
    ]  # fmt: skip


def _translated(step: Step) -> set[str]:
    """Return the fields of which only lookups tell what their columns will hold."""
    return {each.field for each in step.lookups if each.by != each.parent.key[0]}


Came = tuple[Step, Tally | CrmmapError]
"""What came of a step's share of a transaction, or of its reading."""


def load_rings(work: Work, steps: Sequence[Step]) -> Iterator[Came]:
    """Load what waits of circular steps and lacks nothing but each other; yield what came of it.

    Of a step that meets an error nothing more is tried; the others go on without it.
    """
    failed, there = set[str](), set[Name]()
    waiters: list[Waiter] = []
    for step in steps:
        try:
            waiters += [*_waiters(work, step, steps)]
        except CrmmapError as error:
            failed.add(step.name)
            yield step, error
    for group in groups(together(waiters), min((step.batch for step in steps), default=1)):
        names = {each.stream for each in group}
        if work.stop.is_set():
            return
        if names & failed:
            continue
        ring = _Ring(work, [step for step in steps if step.name in names], group, there)
        for step, came in ring.load():
            failed |= {step.name} if isinstance(came, CrmmapError) else set()
            yield step, came


def _waiters(work: Work, step: Step, steps: Sequence[Step]) -> Iterator[Waiter]:
    """Yield what waits of a step. In memory is a batch at a time, beside what is yielded."""
    table = step.target.table
    told = _translated(step)
    asked = {
        each.by: None for other in steps for each in other.lookups
        if each.parent.table == table and each.by not in told
    }  # fmt: skip
    place: tuple[str, str] | None = None
    while not work.stop.is_set():
        some = work.store.deferred(
            mapping=work.plan.mapping, stream=step.name, after=place, count=step.batch
        )
        if some.is_empty():
            return
        places = some.select("key", "digest").rows()
        place = places[-1]
        rows = batch_of(work, step, some).rows
        lacks: dict[int, list[Name]] = {}
        for index, lookup, value in unmet(step, rows, work.store.known):
            lacks.setdefault(index, []).append((lookup.parent.table, lookup.by, value))
        live = rows.filter(~pl.col(DELETED)) if DELETED in rows.columns else rows
        own = pl.col(step.target.key[0]).alias("#own")
        for index, key, *values in live.select(INDEX, own, *asked).iter_rows():
            named = zip(asked, values, strict=True)
            yield Waiter(
                stream=step.name, place=places[index], own=key,
                brings=tuple((table, by, value) for by, value in named if value is not None),
                lacks=tuple(lacks.get(index, ())),
            )  # fmt: skip


@dataclass(slots=True)
class _Ring:
    """Records of some steps that lack nothing but each other, and what is `there` already."""

    work: Work
    steps: Sequence[Step]
    group: Sequence[Waiter]
    there: set[Name]
    written: Sequence[Waiter] = ()
    """Those that became rows."""
    unfit: set[str] = field(default_factory=set)
    """Why some could not, as the database refused their bare rows: in words."""

    def load(self) -> list[Came]:
        """Write them in a transaction of their own, and tell what became `there` by it."""
        try:
            marks = [mark_of(self.work, step) for step in self.steps]
            done = self.work.store.commit_together(marks, self.write)
        except CrmmapError as error:
            return [(step, error) for step in self.steps]
        self.there |= {name for each in self.written for name in each.brings}
        self.work.remarks += sorted(self.unfit.difference(self.work.remarks))
        return [(step, tally) for step, (_, tally) in zip(self.steps, done, strict=True)]

    def write(self, transactions: Sequence[Transaction]) -> list[Tally]:
        """Write all of them that can be, in one transaction; return a tally for each step.

        Where the database refuses one, all is undone and done again without it, and without those
        that lack it.
        """
        self.written = self.group
        self.unfit.clear()
        pairs = [*zip(self.steps, transactions, strict=True)]
        refused = [_Share(tally=nothing(step)) for step in self.steps]
        while True:
            savepoint = transactions[0].savepoint()
            shares = [self._bare(*each) for each in pairs]
            # Where one of the bare rows is refused, those that refer to it would be, too.
            for share, each in zip(shares, pairs, strict=True) if _whole(shares) else ():
                self._fill(share, *each)
            if _whole(shares):
                savepoint.commit()
                break
            savepoint.rollback()
            for one, share in zip(refused, shares, strict=True):
                one.take_refused(share)
            lost = {each for share in shares for each in (*share.refused, *share.waiting)}
            left = [each for each in self.written if each not in lost]
            self.written = together(left, self.there)
        done = [*zip(transactions, shares, refused, strict=True)]
        for transaction, share, one in done:
            transaction.settle(_places([*share.written, *one.refused]))
        return [_with(share.tally, one.tally) for _, share, one in done]

    def _bare(self, step: Step, transaction: Transaction) -> _Share:
        """Begin a step's share: with bare rows, where the database holds foreign keys to them.

        They are filled before anybody sees them, and so count as inserted.
        """
        share = _Share(tally=nothing(step))
        own = [each for each in self.written if each.stream == step.name]
        held = {each.table for other in self.steps for each in other.target.foreign_keys}
        if step.target.table in held:
            dtype = step.target.column(step.target.key[0]).type.dtype
            keys = pl.Series([each.own for each in own], dtype=dtype)
            made, refused = transaction.stub(step.target, keys)
            share.tally = replace(share.tally, counts=Counts(inserted=made, updated=-made))
            share.waiting = [each for each in own if each.own in refused]
            self.unfit |= {_unfit(step, refused[each.own]) for each in share.waiting}
        return share

    def _fill(self, share: _Share, step: Step, transaction: Transaction) -> None:
        """Write a step's share, a batch at a time."""
        own = [each for each in self.written if each.stream == step.name]
        known = _promising(transaction.known, self.written)
        for start in range(0, len(own), step.batch):
            some = own[start : start + step.batch]
            kept = transaction.waiting(_places(some))
            batch = batch_of(self.work, step, kept)
            loaded = write_rows(step, batch, transaction, known)
            rows = {*loaded.resolved.rows[INDEX]} - {*loaded.refused[INDEX]}
            waits = {*loaded.waiting[INDEX]}
            for index, each in enumerate(some):
                share.put(each, written=index in rows, waits=index in waits)
            share.tally = _with(share.tally, tally_of(batch, loaded, len(some)))


def _unfit(step: Step, reason: Reason) -> str:
    """Return why records can't be loaded that wait for each other."""
    return (
        f"{step.name}: some records that wait for each other can't be loaded, as the database "
        f"refuses rows that have nothing but a key until all are there: {reason.message}"
    )


@dataclass(slots=True, kw_only=True)
class _Share:
    """What became of a step's records, and its account."""

    tally: Tally
    written: list[Waiter] = field(default_factory=list)
    waiting: list[Waiter] = field(default_factory=list)
    refused: list[Waiter] = field(default_factory=list)

    def put(self, each: Waiter, *, written: bool, waits: bool) -> None:
        (self.written if written else self.waiting if waits else self.refused).append(each)

    def take_refused(self, share: _Share) -> None:
        """Take over the rejects of a share that is undone."""
        self.refused += share.refused
        count, rejects = len(share.refused), share.tally.rejects
        told = replace(
            self.tally, counts=Counts(deferred=-count, rejected=count), rejects=rejects
        )  # fmt: skip
        told = replace(told, notes=self.tally.notes.clear(), keys={}, same_by={})
        self.tally = _with(self.tally, told)


def _whole(shares: Sequence[_Share]) -> bool:
    return not any(share.waiting or share.refused for share in shares)


def _places(waiters: Sequence[Waiter]) -> pl.DataFrame:
    schema = {"key": pl.String(), "digest": pl.String()}
    return pl.DataFrame([each.place for each in waiters], schema=schema, orient="row")


def _with(tally: Tally, more: Tally) -> Tally:
    return replace(
        more, counts=tally.counts + more.counts,
        rejects=pl.concat([tally.rejects, more.rejects]),
        notes=pl.concat([tally.notes, more.notes]), keys=with_keys(tally.keys, more.keys),
        same_by=Counter(tally.same_by) + Counter(more.same_by),
    )  # fmt: skip


def _promising(known: Known, waiters: Sequence[Waiter]) -> Known:
    """Return what finds, beside the rows that are there, those that the waiting will be."""
    coming: dict[tuple[str, str], list[tuple[Any, Any]]] = {}
    for each in waiters:
        for table, by, value in each.brings:
            coming.setdefault((table, by), []).append((value, each.own))

    def found(target: Target, by: str, values: pl.Series) -> pl.DataFrame:
        there = known(target, by, values)
        pairs = coming.get((target.table, by), [])
        rows = [(value, own)[: len(there.columns)] for value, own in pairs]
        more = pl.DataFrame(rows, schema=there.schema, orient="row")
        return pl.concat([there, more.filter(pl.col(by).is_in(values.implode()))])

    return found
