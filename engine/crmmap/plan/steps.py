"""What will happen: the values that a mapping is compiled into, before the first request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import polars as pl

from crmmap.kinds.database import Query
from crmmap.kinds.formats import Format
from crmmap.kinds.incremental import Incremental
from crmmap.kinds.limits import RejectLimit
from crmmap.kinds.paging import Pagination
from crmmap.kinds.responses import ResponseRule
from crmmap.kinds.shaping import Shape
from crmmap.kinds.source import Source
from crmmap.kinds.types import Type
from crmmap.kinds.writes import NEXT, Deletes, History, Replace, Snapshot, Sweep, Upsert, Write
from crmmap.select.compiled import Selector
from crmmap.select.jmespath import Jmespath
from crmmap.spec.duplicates import DUPLICATES
from crmmap.spec.model import (
    Archive,
    Enrich,
    FieldsFrom,
    Keep,
    Missing,
    Nested,
    OnError,
    RequestSpec,
)
from crmmap.template import Template
from crmmap.values import Secret

if TYPE_CHECKING:
    from crmmap.select.xpath import RecordPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a target table, in the order of the mapping's fields.

    `refers`: it holds keys of a table's rows, whether the database is to see to it or not.
    """

    name: str
    type: Type
    comment: str = ""
    tags: tuple[str, ...] = ()
    refers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """A column that holds the key of rows of a table, and the database sees to it."""

    column: str
    table: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The table that a stream fills.

    `write` says how its rows are written; `deletes` what becomes of rows that are deleted, by this
    stream or another, None where none ever is. Of rows that are the same, the one with the
    greatest `version` wins, if there is such a column; else the `first`, or the last. Rows are the
    same by the key, or by the columns of one of the rules `same_by`. `indexed` are the columns, or
    groups of them, that are searched in; `foreign_keys` those that the database is to hold, too.
    """

    table: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    write: Write = Upsert()
    deletes: Deletes | None = None
    version: str | None = None
    first: bool = False
    same_by: tuple[tuple[str, ...], ...] = ()
    indexed: tuple[tuple[str, ...], ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    comment: str = ""

    @property
    def losing(self) -> Target | None:
        """The table of the rows that lost against another, where versions decide by rules."""
        if not self.same_by or self.version is None:
            return None
        comment = f"Records that lost against another as rows of {self.table}."
        name = f"{self.table}{DUPLICATES}"
        return replace(self, table=name, same_by=(), foreign_keys=(), comment=comment)

    @property
    def next(self) -> Target | None:
        """The table in which a read is gathered that is to replace its rows."""
        if not isinstance(self.write, Replace):
            return None
        comment = f"What the read under way has brought that is to replace {self.table}."
        name = f"{self.table}{NEXT}"
        return replace(
            self, table=name, write=Upsert(), indexed=(), foreign_keys=(), comment=comment
        )

    @property
    def vanishing(self) -> bool:
        """Whether a complete read deletes or ends the rows that it did not bring."""
        ends = isinstance(self.write, History) and self.write.vanished == "end"
        return ends or isinstance(self.write, Snapshot | Sweep)

    @property
    def beside(self) -> tuple[Target, ...]:
        """The tables that its own needs beside it."""
        return tuple(each for each in (self.losing, self.next) if each is not None)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def marks(self) -> bool:
        """Whether rows of it are marked as deleted, in a column for that."""
        return self.deletes == "soft"

    @property
    def per(self) -> str | None:
        """The column with the key of that for which the stream is read, if rows vanish by that."""
        return self.write.per if isinstance(self.write, Snapshot) else None

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One question asked of a field's value: true or null where the value passes."""

    name: str
    passes: pl.Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldPlan:
    """How one field's text becomes a typed, judged cell.

    `clean` turns the text column `name` tidy, and so does `clean_neat`, with less to do, where
    all of its texts are neat (see `kinds.clean.IDLE`); `read` turns the tidy text into
    the type's dtype; `rules` judge the typed column of the same name.
    """

    name: str
    type: Type
    clean: pl.Expr
    clean_neat: pl.Expr
    read: pl.Expr
    rules: tuple[Rule, ...]
    required: bool
    on_error: OnError
    default: str | None
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupPlan:
    """A foreign key: compare the field with the parent's `by`, store the parent's key."""

    field: str
    stream: str
    parent: Target
    by: str
    missing: Missing
    required: bool
    compared: pl.Expr | None = None
    """The value as it would stand in the parent's field, null where it could not; None: as it is.

    So texts are compared as the parent's type writes them: e-mail addresses, phone numbers."""
    wait_for: float | None = None
    """Seconds after which a record waits no longer, and is rejected; None: it waits until then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Keep a record only where the field passes the rules; others count as filtered."""

    field: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Distinct:
    """The values of a column, each once, as the read finds them."""

    target: Target
    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dates:
    """Periods of time; `end` may be `now`."""

    start: str
    end: str
    step: str


Choice = tuple[str, ...] | Distinct | Dates
"""Some of the values of a part of a partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recursion:
    """How a stream asks for its own rows in turn: `columns` are theirs that templates may name."""

    columns: tuple[str, ...]
    where: str | None
    depth: int | None
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The partitions of a stream: each combination of `over`, for the rows of `parent`.

    `columns` are the parent's columns that templates may name; `batch` is how many rows one
    request asks for, None where it asks for one and calls it `parent`. `changed` asks only
    for rows that were written since the stream was last read to its end.
    """

    over: Mapping[str, tuple[Choice, ...]] = field(default_factory=dict)
    parent: Target | None = None
    columns: tuple[str, ...] = ()
    batch: int | None = None
    changed: bool = False
    own_cursors: int | None = None
    """The most rows that may keep a cursor each; None where all have one together."""
    recursion: Recursion | None = None

    @property
    def split(self) -> bool:
        """Whether there may be several partitions."""
        return bool(self.over) or self.parent is not None or self.recursion is not None

    @property
    def blank(self) -> Mapping[str, str]:
        """What templates find of a column that a row does not have, where rows are asked for."""
        own = () if self.recursion is None else self.recursion.columns
        return dict.fromkeys((*self.columns, *own), "")

    @property
    def fixed(self) -> bool:
        """Whether the values are the same in each run."""
        return all(isinstance(each, tuple) for several in self.over.values() for each in several)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changing:
    """How a stream asks once it has a cursor."""

    request: RequestSpec
    records: Jmespath | RecordPath
    pagination: Pagination


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundField:
    """A field that the source lists: its name there, and its word for what it is."""

    name: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How the fields are found that a stream has beside its declared ones.

    `compiled` makes the step anew with those that were found; it raises SourceError.
    """

    spec: FieldsFrom
    records: Jmespath
    compiled: Callable[[Sequence[FoundField]], Step] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enriching:
    """A second request for the records of a page. `on` are the texts' places, here and there."""

    name: str
    spec: Enrich
    records: Jmespath
    on: tuple[tuple[Jmespath, Jmespath], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a read must bring: see `Expect`. `max_drop` is a share, from 0 to 1.

    `freshness` is the greatest age, in seconds, of the latest value of the column `dated`.
    """

    min_rows: int | None = None
    max_drop: float | None = None
    freshness: float | None = None
    dated: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One stream, compiled. `parents` are the streams that must have ended before it starts."""

    name: str
    target: Target
    selector: Selector
    fields: tuple[FieldPlan, ...]
    lookups: tuple[LookupPlan, ...]
    filters: tuple[Filter, ...]
    tombstones: tuple[Filter, ...]
    """Of a record that says that its row is deleted: its fields pass all of them."""
    parents: tuple[str, ...]
    batch: int
    fingerprint: str
    source: Source
    source_name: str
    filling: tuple[str, ...] = ()
    """The streams that fill the table whose rows its records write, or delete."""
    vouches: tuple[str, ...] = ()
    """The streams of which no record waits any longer that a complete read has not met."""
    was: tuple[str, ...] = ()
    """Names that the stream had before, under which the ledger may know it still."""
    request: RequestSpec | None = None
    format: Format | None = None
    """How what it reads is written: its own format, or its source's."""
    records: Jmespath | RecordPath | None = None
    nested: tuple[Nested, ...] = ()
    shape: tuple[Shape, ...] = ()
    """What makes records of that which `records` finds."""
    pages_of: str | None = None
    """The stream whose answers this one reads too."""
    pagination: Pagination | None = None
    max_pages: int = 100_000
    max_rejects: RejectLimit | None = None
    expectation: Expectation | None = None
    absent: str = ""
    """Why the stream is not read at all; empty where it is."""
    responses: tuple[ResponseRule, ...] = ()
    given: Mapping[str, Template] = field(default_factory=dict)
    """The fields that have a `value`, which the reader puts into every record."""
    parts: Parts = Parts()
    incremental: Incremental | None = None
    changes: Changing | None = None
    cursor_of: str = ""
    """Digest of what a cursor depends on: one that was kept for another is worth nothing."""
    selected: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What `selected(NAME)` gives in templates: the entries of NAME that the fields read."""
    selection: str = ""
    """What `graphql()` gives: all that the fields read, as GraphQL asks for it."""
    finding: Finding | None = None
    enriching: tuple[Enriching, ...] = ()
    file: str | None = None
    remembered: int = 0
    """How many files that were read may be remembered; 0 where none is."""
    query: Query | None = None
    headers: tuple[tuple[str, ...], ...] = ()
    """Of a file or a database: each field's alternative headers, or columns."""
    optional: frozenset[int] = frozenset()
    """Of a file or a database: positions in `headers` that may be missing altogether."""
    keeps: Keep = "rejects"
    """Which of its pages the archive keeps."""

    @property
    def changing(self) -> Step:
        """The step as it asks once it has a cursor."""
        how = self.changes
        if how is None:
            return self
        return replace(self, request=how.request, records=how.records, pagination=how.pagination)

    @property
    def exact(self) -> Step:
        """The step with every cell taken out of a value or an element of its own, record by record.

        Records that could stay bytes are decoded, and no walk goes through elements.
        """
        finding = self.finding
        if finding is not None:
            compiled = finding.compiled
            finding = replace(finding, compiled=lambda found: compiled(found).exact)
        return replace(self, selector=self.selector.exact, finding=finding)

    def second(self, request: RequestSpec, records: Jmespath, pagination: Pagination) -> Step:
        """Return the step as it asks for what belongs to its records, but is none of them."""
        return replace(
            self.exact,  # its records are put into others
            request=request, records=records, pagination=pagination, incremental=None,
            changes=None, shape=(), nested=(), format=None, parts=Parts(), enriching=(),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A mapping ready to run: everything parsed, typed, and in an order that its lookups allow.

    `values` are the settings that templates may show; secrets are already where they belong.
    """

    mapping: str
    title: str
    steps: tuple[Step, ...]
    values: Mapping[str, str]
    secrets: tuple[Secret, ...]
    archive: Archive = Archive()

    @property
    def sources(self) -> Mapping[str, Source]:
        """The sources that the streams are read from, by name."""
        return {step.source_name: step.source for step in self.steps}

    @property
    def targets(self) -> tuple[Target, ...]:
        """The tables that the streams fill, or delete from: of several streams, each as it says."""
        return tuple(step.target for step in self.steps)

    @property
    def exact(self) -> Plan:
        """The plan with all records decoded to values: slower, and the same rows."""
        return replace(self, steps=tuple(step.exact for step in self.steps))

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)
