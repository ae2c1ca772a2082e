"""The cursors of a stream: what was seen, kept with every batch, moved on when the read has ended.

A stream's cursor in the ledger is JSON:

    at        partition → the cursor that the next read asks with
    began     when the last read that came to its end began: for parents that changed since
    of        digest of what the cursors depend on
    reading   of the read under way: what it asks with, the greatest it has seen, when it began
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from crmmap.errors import CrmmapError
from crmmap.kinds.incremental import Incremental, Timestamp
from crmmap.load import Mark
from crmmap.loop.work import Work
from crmmap.moments import moment
from crmmap.plan import Step
from crmmap.values import PAGE, Batch, Distinct, Parents, Start

Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursors:
    """What is known of a stream's cursors.

    `since` is what this read asks with, `seen` what it has seen, each by partition; `began` is
    when it began. `at` and `before` are what earlier reads, that came to their end, left.
    """

    of: str
    began: str
    at: Texts = field(default_factory=dict)
    before: str | None = None
    since: Texts = field(default_factory=dict)
    seen: Texts = field(default_factory=dict)

    def start(self, mark: Mark, parents: Parents, values: Distinct) -> Start:
        """Return where the stream's reading starts."""
        return Start(
            position=mark.position, since=self.since, state=mark.cursor, began=self.began,
            parents=parents, values=values,
        )  # fmt: skip

    def with_seen(self, step: Step, batch: Batch) -> Cursors:
        """Return these, with what a batch's rows hold."""
        # One that reads another's pages may have no record of what was changed last.
        if step.incremental is None or step.pages_of is not None:
            return self
        if step.incremental.field is None:
            seen: Texts = {**self.seen, **dict.fromkeys(batch.parts.values(), self.began)}
        else:
            seen = _seen(step, step.incremental, batch, self.seen)
        _refuse_too_many(step, {*self.at, *seen})
        return replace(self, seen=seen)

    def text(self, step: Step, *, ended: bool) -> str:
        """Return what the ledger keeps: once the read has ended, what it saw counts."""
        if not ended:
            # What it asks with is mostly what is kept: then it need not be there twice.
            since = None if self.since == self.at else self.since
            reading = {"since": since, "seen": self.seen, "began": self.began}
            kept = {"at": self.at, "began": self.before, "of": self.of, "reading": reading}
        else:
            kept = {"at": self.reached(step), "began": self.began, "of": self.of}
        return json.dumps(kept, sort_keys=True, separators=(",", ":"))

    def reached(self, step: Step) -> Texts:
        """Return the cursors that the next read asks with, once this one has ended."""
        seen = dict(self.seen)
        if isinstance(step.incremental, Timestamp):
            seen = {label: not_after(text, self.began) for label, text in seen.items()}
        return {**self.at, **seen}


def cursors_of(step: Step, mark: Mark, *, fresh: bool = False) -> Cursors:
    """Return a stream's cursors as its read begins, or goes on. `fresh` asks for everything."""
    kept = json.loads(mark.cursor) if mark.cursor else {}
    if kept.get("of") != step.cursor_of:
        kept = {}
    found = Cursors(
        of=step.cursor_of, began=mark.now, at=kept.get("at", {}), before=kept.get("began"),
    )  # fmt: skip
    reading = kept.get("reading")
    if mark.position is not None and reading is not None:
        since = found.at if reading["since"] is None else reading["since"]
        return replace(found, since=since, seen=reading["seen"], began=reading["began"])
    return found if fresh else replace(found, since=found.at)


def parents_of(work: Work, step: Step, cursors: Cursors) -> Parents:
    """Return what gives the rows of the stream's parent, as its partitions ask for them."""
    parts = step.parts

    def rows(after: Sequence[str] | None, count: int) -> Sequence[Mapping[str, str | None]]:
        assert parts.parent is not None  # noqa: S101  (nobody else asks)
        since = cursors.before if parts.changed and not work.options.fresh else None
        return work.store.parents(
            parts.parent, parts.columns, after=after, count=count, since=since
        )

    return rows


def keeps_cursors(step: Step) -> bool:
    """Say whether there is anything to keep of the stream's reads."""
    return step.incremental is not None or step.parts.changed


def _refuse_too_many(step: Step, labels: Collection[str]) -> None:
    most = step.parts.own_cursors
    if most is not None and len(labels) > most:
        message = (
            f"more than {most} rows of its parent would keep a cursor each (`own_cursors`). Write "
            "a greater number, or leave it out: then all have one together"
        )
        raise CrmmapError(message)


def _seen(step: Step, how: Incremental, batch: Batch, seen: Texts) -> Texts:
    """Return, by partition, the text of what a batch's rows and those before them hold."""
    kind = step.target.column(how.field or "").type
    value = pl.col("value")
    numbers, labels = list(batch.parts), list(batch.parts.values())
    parts = pl.DataFrame(
        {PAGE: numbers, "part": labels}, schema={PAGE: pl.UInt32, "part": pl.String}
    )
    rows = batch.rows.select(PAGE, pl.col(how.field or "").alias("value")).drop_nulls()
    rows = rows.join(parts, on=PAGE, how="inner", maintain_order="left").select("part", "value")
    known = {label: seen[label] for label in dict.fromkeys(labels) if label in seen}
    texts = {"part": list(known), "value": list(known.values())}
    earlier = pl.DataFrame(texts, schema={"part": pl.String, "value": pl.String})
    every = pl.concat([earlier.select("part", kind.read(value)), rows]).drop_nulls()
    one = value.last() if how.choice == "last" else value.max()
    chosen = every.group_by("part", maintain_order=True).agg(one).select("part", kind.show(value))
    return {**seen, **dict(chosen.iter_rows())}


def not_after(text: str, began: str) -> str:
    """Return a time's text, or the moment when the read began, whichever is earlier."""
    return began if moment(text) > moment(began) else text
