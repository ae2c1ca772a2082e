"""Tables made again from the archive, through the mapping as it is now: no source is asked.

That is a run like any other, of kind `remap`, whose pages are those that earlier runs kept, in
the order in which they were read. It leaves every row alone that a later run has written than the
page was read by; so an archive that has but a part of the pages makes no row older.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import polars as pl

from crmmap.events import Observe, RunReport, StreamReport
from crmmap.extract.readers import Reader
from crmmap.kinds.source import Files
from crmmap.kinds.writes import Append, Delete, History, Replace, Sweep, Write
from crmmap.load import OUTCOME, Store
from crmmap.load.archive_queries import (
    Body,
    Coverage,
    coverage,
    fetched,
    fields_body,
    pieces,
    runs_since,
)
from crmmap.loop.again import Again, Kept
from crmmap.loop.packing import unpack, unpack_fields
from crmmap.loop.run import run
from crmmap.loop.tallying import by_page, told, total
from crmmap.loop.work import Options, by_field, by_rule
from crmmap.plan import FoundField, Plan, Step, grown
from crmmap.transform import apply, dedupe, resolve
from crmmap.values import INDEX, PAGE, Page, Start

LISTED = 1000
"""Pieces that are listed at once, without what they hold."""

AT_ONCE = 8_000_000
"""Bytes of the pieces that are fetched from the store together, about."""

UNFIT: Mapping[type[Write], str] = {
    Append: "its rows are added to a log, where those of the archive are already",
    History: "it keeps the history of its rows, which read again would be another",
    Replace: "each complete read replaces its rows, and the archive may have but a part of one",
    Delete: "its records delete rows, which may be back since",
    Sweep: "its records are keys of rows, and fill no column",
}
"""Why a stream can't be made again from pages that were kept."""

NOTHING_KEPT = "the archive has nothing of it"
NO_FIELDS = "the archive has no list of the fields that its source lists"


@dataclass(slots=True, kw_only=True)
class Archive:
    """What there is of a mapping's streams in the archive, from runs since a moment on.

    `withheld` counts records that the archive leaves out: with a secret in them, or too long.
    """

    plan: Plan
    store: Store
    since: datetime | None
    streams: tuple[str, ...] = ()
    withheld: int = 0
    listed: dict[str, tuple[FoundField, ...]] = field(default_factory=dict)

    @property
    def steps(self) -> tuple[Step, ...]:
        """Those that are asked for."""
        return tuple(
            step for step in self.plan.steps if not self.streams or step.name in self.streams
        )

    def kept(self, step: Step) -> Iterator[Kept]:
        """Yield a stream's pages in the order in which they were read."""
        for chosen in self._pieces(step):
            for each in self.store.ask(lambda session, some=chosen: fetched(session, some)):  # type: ignore[misc]
                whole = unpack(each.codec, each.body)
                self.withheld += whole.withheld
                yield Kept(
                    run_id=each.run_id, raws=whole.raws, refused=whole.refused,
                    places=whole.places, part=each.part,
                )  # fmt: skip

    def _pieces(self, step: Step) -> Iterator[list[Body]]:
        """Yield the pieces of a stream's pages in order, in groups that can be held at once."""
        names = (step.name, *step.was)
        mapping, since = self.plan.mapping, self.since
        for run_id in self.store.ask(partial(runs_since, mapping=mapping, since=since)):
            some = partial(pieces, run_id=run_id, streams=names, count=LISTED)
            found = self.store.ask(partial(some, after=None))
            while found:
                yield from _together(found)
                found = self.store.ask(partial(some, after=found[-1]))

    def found(self, step: Step) -> tuple[FoundField, ...]:
        """Return the fields that the source listed for a stream, last of all."""
        if step.name not in self.listed:
            mapping, names = self.plan.mapping, (step.name, *step.was)
            body = self.store.ask(lambda session: fields_body(session, mapping, names))
            self.listed[step.name] = () if body is None else unpack_fields(body)
        return self.listed[step.name]

    def coverage(self, step: Step) -> Coverage:
        """Return how much of what runs read of a stream the archive has."""
        mapping, names = self.plan.mapping, (step.name, *step.was)
        return self.store.ask(
            lambda session: coverage(session, mapping=mapping, streams=names, since=self.since)
        )

    def absences(self) -> Mapping[str, str]:
        """Return why streams can't be made again, by their names."""
        found = {step.name: self._absent(step) for step in self.steps}
        return {name: why for name, why in found.items() if why}

    def _absent(self, step: Step) -> str:
        # That no file is named, which was read then, matters no more.
        if step.absent and not (isinstance(step.source, Files) and not step.file):
            return step.absent
        if type(step.target.write) in UNFIT:
            return UNFIT[type(step.target.write)]
        if not self.coverage(step).pages:
            return NOTHING_KEPT
        return NO_FIELDS if step.finding is not None and not self.found(step) else ""

    def remarks(self, absences: Mapping[str, str]) -> Iterator[str]:
        """Yield sentences about what the archive lacks."""
        for step in self.steps:
            has = self.coverage(step)
            if step.name not in absences and not has.whole:
                yield (
                    f"{step.name}: the archive has {has.pages:,} of {has.pages_read:,} pages "
                    f"({has.records:,} of {has.records_read:,} records) that were read; rows of "
                    "the others stay as they are"
                )
            if step.name not in absences and _removes(self.plan, step):
                yield (
                    f"{step.name}: its deleted rows are removed, so that some of them may be back "
                    "until the next complete read"
                )
        if self.withheld:
            yield f"{self.withheld:,} records are not in the archive: secret, or too long"


def _removes(plan: Plan, step: Step) -> bool:
    """Say whether rows of a stream's table are removed, for which nothing speaks then."""
    of_table = (each.target for each in plan.steps if each.target.table == step.target.table)
    return any(each.deletes == "hard" for each in of_table)


def _together(every: list[Body]) -> Iterator[list[Body]]:
    """Yield pieces in groups that can be held at once."""
    gathered: list[Body] = []
    for each in every:
        if gathered and sum(other.size for other in gathered) + each.size > AT_ONCE:
            yield gathered
            gathered = []
        gathered.append(each)
    if gathered:
        yield gathered


def _reader(archive: Archive, reader: Reader) -> Again:
    return Again(
        reader=reader, kept=archive.kept, runs=archive.store.runs(archive.plan.mapping),
        absences=archive.absences(), found=archive.found,
    )  # fmt: skip


def remap(
    archive: Archive,
    reader: Reader,
    *,
    options: Options,
    stop: threading.Event,
    observe: Observe = lambda _: None,
) -> RunReport:
    """Load what the archive has through the plan, and report as of a run.

    Raises StoreLocked where a run of the mapping is under way.
    """
    again = _reader(archive, reader)
    options = replace(options, kind="remap", streams=archive.streams)
    report = run(archive.plan, archive.store, again, options=options, stop=stop, observe=observe)
    return replace(report, remarks=(*report.remarks, *archive.remarks(again.absences)))


# --- as a rehearsal -------------------------------------------------------------------------------


def foresee(archive: Archive, reader: Reader, *, options: Options) -> RunReport:
    """Report what `remap` would come to, and write nothing.

    Each page is compared with the tables as they are: a record that the archive has several times
    counts each time.
    """
    again = _reader(archive, reader)
    streams = tuple(_foreseen(archive, again, step) for step in archive.steps)
    return RunReport(
        run_id=options.run_id, mapping=archive.plan.mapping, title=archive.plan.title,
        store=archive.store.name, started_at=options.started_at, seconds=0.0, streams=streams,
        dry_run=True, kind="remap", remarks=tuple(archive.remarks(again.absences)),
    )  # fmt: skip


def _foreseen(archive: Archive, again: Again, step: Step) -> StreamReport:
    absent = again.absent(step)
    if absent is not None:
        return StreamReport(
            stream=step.name, table=step.target.table, status="skipped", message=absent
        )
    if step.finding is not None:
        step = grown(step, archive.found(step))
    report = StreamReport(stream=step.name, table=step.target.table, status="done")
    for page in again.pages(step, Start()):
        report = _with(report, archive.store, step, page)
    return report


def _with(report: StreamReport, store: Store, step: Step, page: Page) -> StreamReport:
    """Return the report with what a page would come to."""
    batch = apply(step, [page])
    resolved = resolve(step, batch, store.known)
    rows = dedupe(resolved.rows, step.target)
    outcomes = store.foresee(step.target, rows, older_than=batch.older_than)
    counts = total(
        by_page(
            batch.read,
            [
                outcomes.select(pl.col(PAGE).alias("page"), OUTCOME),
                told(resolved.rows.join(rows, on=[PAGE, INDEX], how="anti")[PAGE], "duplicate"),
                told(resolved.waiting[PAGE], "deferred"),
                told(batch.rejects["page"], "rejected"),
                told(resolved.rejects["page"], "rejected"),
                told(batch.notes["page"], "noted"),
            ],
        )
    )
    reasons = [*by_rule(batch.rejects), *by_rule(resolved.rejects)]
    return replace(
        report, counts=report.counts + counts, pages=report.pages + 1,
        reasons=_more(report.reasons, reasons), notes=_more(report.notes, by_field(batch.notes)),
    )  # fmt: skip


def _more(counts: Mapping[str, int], names: Iterable[str]) -> Mapping[str, int]:
    return dict(Counter(counts) + Counter(names))
