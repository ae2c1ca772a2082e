"""Records of one stream, drafted from the mapping: the same values that the mock invents.

A draft is a few small numbers, so that a counterexample can be made smaller; a sheet
turns drafts into records as the source would send them, and records into pages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from xml.sax.saxutils import unescape

import polars as pl

from crmmap.extract.decoders import decoder_of
from crmmap.extract.pages import page_of
from crmmap.extract.partitions import sample, with_given
from crmmap.extract.request import BARE, Context, given_values
from crmmap.kinds.database import Sql
from crmmap.kinds.formats import Csv, Json, Xml
from crmmap.kinds.source import Files, Http
from crmmap.mock import Stream, World, streams_of
from crmmap.mock.elements import Around, inside
from crmmap.mock.envelopes import Envelope
from crmmap.mock.lined import Lined, packed
from crmmap.mock.routes import around_of
from crmmap.mock.shapes import body_of
from crmmap.mock.slots import Slot, slots_of
from crmmap.mock.streams import decoded
from crmmap.plan import Plan, Step
from crmmap.select.strict import read_json
from crmmap.select.xpath import XML
from crmmap.transform import apply
from crmmap.values import GIVEN, Page, Response, as_json

DRESSED = re.compile(r"(?P<before>(?:<[^>]*>)*)(?P<inside>[^<]*)(?P<after>(?:<[^>]*>)*)")
"""A text within its elements."""
ENTITIES = {"&quot;": '"', "&#10;": "\n", "&#13;": "\r"}
PREPARED = 32
"""Records that are invented beforehand; drafts choose among their values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One record: `who` it is, `what` else it holds, and values put in their places instead.

    `changes` are columns, by their number, and the JSON values that stand there; `shape` makes
    it no record at all.
    """

    who: int
    what: int = 0
    changes: Mapping[int, Any] = field(default_factory=dict)
    shape: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sheet:
    """What the records of one stream are made from.

    `slots` are the places in a record, in the order of `texts`, which hold each place's
    prepared values, as JSON or as the cells of a file. `context` is the partition that the
    records are of, and `given` are the texts that the mapping puts into each of them.
    """

    step: Step
    slots: tuple[Slot, ...]
    texts: tuple[tuple[str | None, ...], ...]
    template: str
    misshapen: tuple[str, ...] = ()
    stream: Stream | None = None
    envelope: Envelope | Around | Lined | None = None
    context: Context = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_file(self) -> bool:
        """Whether its records are cells by header or column: of a file, or of a database."""
        return self.envelope is None

    @property
    def is_xml(self) -> bool:
        return isinstance(self.step.format, Xml)

    def column(self, name: str) -> int | None:
        """Return the number of the place that a field is read from first; None for several."""
        for number, slot in enumerate(self.slots):
            if any(each.field.name == name and each.first for each in slot.readings):
                return None if slot.place[0] == GIVEN else number
        return None

    def record(self, draft: Draft) -> Any:
        """Return a draft as the source has it: a decoded JSON value, or cells by header."""
        cells = [self._cell(number, draft) for number in range(len(self.slots))]
        if self.is_file:
            names = [str(slot.place[0]) for slot in self.slots]
            return dict(zip(names, cells, strict=True))
        line = self._line(draft, cells)
        record = decoded(self.stream, line) if self.stream is not None else read_json(line)
        if isinstance(record, dict):
            record.pop(GIVEN, None)  # what the mapping gives does not come from the source
        return record

    def records(self, drafts: Sequence[Draft]) -> list[Any]:
        """Return drafts as the source has them."""
        return [self.record(draft) for draft in drafts]

    def page(self, records: Sequence[Any], number: int = 1, position: str | None = None) -> Page:
        """Return a page of records as the stream's reader gives it."""
        page = self._page(records, number)
        page = with_given(page, self.given) if self.given else page
        return replace(page, position=position, document=None, headers={})

    def body(self, records: Sequence[Any], tokens: Mapping[str, object]) -> bytes:
        """Return an answer with the records, and with what stands beside them."""
        assert self.envelope is not None  # noqa: S101  (of a file there are no answers)
        lines = [each[XML] if self.is_xml else as_json(each) for each in records]
        return packed(body_of(self.step, self.envelope, lines, tokens), self.step.format)

    def parse(self, raws: Sequence[str]) -> Page:
        """Return raw records, as a page gave them, as a page again."""
        records = [read_json(raw) for raw in raws]
        return Page(number=1, records=_frame(records, ()) if self.is_file else records)

    def _page(self, records: Sequence[Any], number: int) -> Page:
        if self.is_file:
            headers = tuple(each[0] for each in self.step.headers)
            return Page(number=number, records=_frame(records, headers))
        body = self.body(records, {})
        response = Response(
            status=200, headers={"content-length": str(len(body))}, body=body,
            url="the pretended source",
        )  # fmt: skip
        return page_of(self.step, number, response, decoder_of(self.step)(response))

    def _cell(self, number: int, draft: Draft) -> str | None:
        if number in draft.changes:
            return self._written(number, draft.changes[number])
        slot = self.slots[number]
        chosen = draft.who if slot.identifies else draft.what
        return self.texts[number][chosen % PREPARED]

    def value(self, number: int, prepared: int) -> Any:
        """Return a prepared value as `changes` may have it."""
        text = self.texts[number][prepared]
        if text is None or self.is_file:
            return text
        if not self.is_xml:
            return read_json(text)
        matched = DRESSED.fullmatch(text)
        return unescape(matched["inside"], ENTITIES) if matched else text

    def _written(self, number: int, value: Any) -> str | None:
        if self.is_file:
            return None if value is None else value if isinstance(value, str) else as_json(value)
        if not self.is_xml:
            return as_json(value)
        last = self.slots[number].place[-1]
        likes = (DRESSED.fullmatch(text or "") for text in self.texts[number])
        filled = (each for each in likes if each is not None and each["inside"])
        matched = next(filled, DRESSED.fullmatch(f"<{last}>x</{last}>"))
        if matched is None or value is None:
            return ""
        return f"{matched['before']}{inside(value)}{matched['after']}"

    def _line(self, draft: Draft, cells: Sequence[str | None]) -> str:
        if draft.shape is not None:
            return self.misshapen[draft.shape % len(self.misshapen)]
        nothing = "" if self.is_xml else "null"
        return self.template % tuple(nothing if each is None else each for each in cells)


def _frame(records: Sequence[Any], headers: Sequence[str]) -> pl.DataFrame:
    names = dict.fromkeys(name for record in records for name in record) or headers
    return pl.DataFrame(
        [[record.get(name) for name in names] for record in records],
        schema=dict.fromkeys(names, pl.String), orient="row",
    )  # fmt: skip


def sheets_of(world: World) -> tuple[Mapping[str, Sheet], Mapping[str, str]]:
    """Return the sheets of the streams that can be tried, and why the others can't."""
    untried = {step.name: why for step in world.plan.steps if (why := untriable(step))}
    streams = streams_of(world)
    sheets: dict[str, Sheet] = {}
    for step in world.plan.steps:
        whose = step.parts.parent
        # By its table alone: here it may have columns that the source lists, too.
        table = None if whose is None else whose.table
        parent = next((each for each in sheets.values() if each.step.target.table == table), None)
        if whose is not None and parent is None and step.name not in untried:
            untried[step.name] = "the stream that it is read for can't be tried"
        if step.name not in untried:
            context = _context(step, parent)
            bare = bare_sheet(world.plan, step, context)
            sheets[step.name] = _with_texts(bare, world, streams[step.name])
    return sheets, untried


def _context(step: Step, parent: Sheet | None) -> Context:
    """Return what the stream's templates may name: of a parent, a row that it may have."""
    context = sample(step)
    if parent is None:
        return context
    columns = [parent.step.target.column(name) for name in step.parts.columns]
    free = replace(parent.step, filters=())
    drafts = [Draft(who=at) for at in range(PREPARED)]
    rows = apply(free, [parent.page(parent.records(drafts))]).rows
    types = {each.name: each.type for each in parent.step.fields}
    shown = rows.select(
        types[each.name].show(pl.col(each.name)).alias(each.name) for each in columns
    )
    row = {**step.parts.blank, **(shown.row(0, named=True) if len(shown) else {})}
    return {**context, **({"parents": [row]} if step.parts.batch else {"parent": row})}


def bare_sheet(plan: Plan, step: Step, context: Context = BARE) -> Sheet:
    """Return a sheet that invents nothing: for records that somebody wrote.

    Raises SourceError where the mapping puts values into them that the context does not have.
    """
    return Sheet(
        step=step, slots=(), texts=(), template="",
        envelope=None if step.records is None else around_of(step),
        context=context, given=given_values(plan, step, context) if step.given else {},
    )  # fmt: skip


def untriable(step: Step) -> str:
    """Return why invented records can't be driven through a stream; empty where they can."""
    if step.absent:
        return step.absent
    if isinstance(step.source, Http) and isinstance(step.format, Json | Xml):
        return ""
    if isinstance(step.source, Sql) or (
        isinstance(step.source, Files) and isinstance(step.format, Csv)
    ):
        return ""
    what = type(step.format or step.source).__name__.lower()
    return f"records of a source that speaks {what} can't be invented here yet"


def _with_texts(sheet: Sheet, world: World, stream: Stream) -> Sheet:
    """Return the sheet with prepared values for every place of a record."""
    slots = slots_of(world.plan, sheet.step, world.hints, world.seed)
    by_place = {slot.place: slot for slot in slots}
    texts, _ = stream.cells(0, PREPARED)
    return replace(
        sheet,
        slots=tuple(by_place[column.place] for column in stream.columns),
        texts=tuple(tuple(series.to_list()) for series in texts),
        template=stream.template,
        misshapen=stream.misshapen,
        stream=stream,
    )
