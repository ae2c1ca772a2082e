"""Raw records to raw frames, compiled: columns from bytes, and values where they do not fit.

Of records that are bytes still, a sample tells the JSON kinds that the fields' expressions meet.
What fits that is read into columns, and the expressions are computed over those. All other
records are decoded one by one (`select/jmespath.py`). Both ways give the same cells, but for a
column that comes in its field's own dtype instead of its text (see `values.RawFrame`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Protocol

import polars as pl

from crmmap.select import arrow
from crmmap.select.columnar import Columns, Declined, Hints, compile_cell, dtype_of, touched
from crmmap.select.document import ambiguous
from crmmap.select.jmespath import Cell, JmespathSelector, cells_of
from crmmap.select.pieces import AT_ONCE, Names, cut_cells
from crmmap.select.raw_records import RawRecords, raw_records, together
from crmmap.select.unread import blanked, mixed, without
from crmmap.values import AT, INDEX, PAGE, Page, RawFrame, Reason, Refusal, as_json

SAMPLE = 16
"""Records that are decoded to learn from."""
ROUNDS = 2
"""How often it is learned of one batch, the second time from what did not fit the first."""
WORTH = 64
"""Records from which it is worth while to learn once more."""
MADE = 16
"""Dtypes for which what was compiled is kept."""
ONE_IN = 8
"""Of so many records of a batch one must fit at least, or the batch was in vain."""
TRIAL = 128
"""Records that are tried alone, before a batch of many more, where nothing has fitted yet."""
MOST_SKIPPED = 64
"""Batches that are decoded without a try, after others that were in vain."""
UNFIT = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""A panic is no Exception."""
ROW = "#row"
UNSURE = "#unsure"

Placed = tuple[pl.DataFrame, list[int]]
"""A frame, and the place of each of its records."""

Made = tuple[Sequence[Columns], Sequence[Cell]]
"""Cells as expressions over columns, and those that are not."""

DUPLICATE_KEY = Reason(
    field=None, rule="json.duplicate_key", message="an object in the record has the same key twice"
)


@dataclass(slots=True)
class Luck:
    """How a stream's batches fared: of those after some that were in vain, few are tried.

    Where no record fits there is nothing to gain, and it takes time to find that out. What is
    read is the same either way.
    """

    proven: bool = False
    """Whether the last batch that was tried was not in vain."""
    in_vain: int = 0
    """Batches, one after the other as they were tried."""
    skipped: int = 0
    """Batches that are still to be decoded without a try."""

    def tries(self) -> bool:
        """Say whether the next batch is tried."""
        if self.skipped:
            self.skipped -= 1
            return False
        return True

    def learn(self, fit: int, records: int) -> None:
        """Learn how many records of a batch did fit."""
        self.proven = fit * ONE_IN >= records
        self.in_vain = 0 if self.proven else self.in_vain + 1
        self.skipped = min(2**self.in_vain - 1, MOST_SKIPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledSelector:
    """Makes raw frames of records that are bytes still; of others as `JmespathSelector` does.

    `dtypes` are those of fields that may come in them; `hints` say what stands at places of which
    a sample tells nothing.
    """

    cells: tuple[Cell, ...]
    dtypes: Mapping[str, pl.DataType] = field(default_factory=dict)
    hints: Hints = field(default_factory=dict)
    worth: int = 32
    """Records of a batch from which it takes less time to learn of them first."""
    made: dict[pl.Struct, Made] = field(default_factory=dict, compare=False, repr=False)
    """What was compiled for the dtypes that records had: most have one all along."""
    luck: Luck = field(default_factory=Luck, compare=False, repr=False)

    @property
    def exact(self) -> JmespathSelector:
        return JmespathSelector(cells=self.cells)

    def select(self, page: Page) -> RawFrame:
        return self.exact.select(page)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """What pages hold: raw frames with all of their records, in no order.

    `pages` are the same, but for records that turned out to be none: those are refused.
    `compiled` is how many records were never decoded.
    """

    pages: Sequence[Page]
    frames: Sequence[RawFrame]
    compiled: int = 0


class Selector(Protocol):
    """What makes the raw frame of a page: the seam behind which records are read.

    However it is done (interpreted, compiled), the same page must give the same cells.
    """

    @property
    def exact(self) -> Selector:
        """The selector that takes each cell out of a value or an element of its own."""
        ...

    def select(self, page: Page) -> RawFrame: ...


def select_pages(selector: Selector, pages: Sequence[Page]) -> Selected:
    """Return what pages hold, of which each may have its records as bytes or as values."""
    raw = [page for page in pages if _undecoded(page)]
    if not isinstance(selector, CompiledSelector) or not raw:
        frames = [selector.select(page) for page in pages]
        return Selected(pages=pages, frames=[pl.concat(frames, how="diagonal", rechunk=True)])
    others = [page for page in pages if not _undecoded(page)]
    selected = _selected(selector, raw)
    known = {page.number: page for page in selected.pages}
    return replace(
        selected, pages=[known.get(page.number, page) for page in pages],
        frames=_joined([*selected.frames, *map(selector.select, others)]),
    )  # fmt: skip


def _undecoded(page: Page) -> bool:
    return isinstance(page.records, RawRecords) and page.records.cells is None


def _joined(frames: Sequence[RawFrame]) -> Sequence[RawFrame]:
    """Return frames as few: one, but for fields that come in their own dtype and as text."""
    if len(frames) == 1:
        return frames
    alike: dict[tuple[object, ...], list[RawFrame]] = {}
    for frame in frames:
        own = tuple((each.name, each.dtype) for each in frame if each.dtype != pl.String)
        alike.setdefault(own, []).append(frame)
    return [
        pl.concat(each, how="diagonal", rechunk=True).sort(PAGE, INDEX) for each in alike.values()
    ]


def texts_of(selector: Selector, field: str, records: Sequence[object]) -> list[str | None]:
    """Return a field's texts of decoded records, where it may have come in its own dtype."""
    assert isinstance(selector, CompiledSelector)  # noqa: S101  (others give texts alone)
    return cells_of((each for each in selector.cells if each.field == field), records)[0].to_list()


def _selected(selector: CompiledSelector, pages: Sequence[Page]) -> Selected:
    batch = _Batch.of(pages)
    frames, odd = _tried(selector, batch.raws)
    exact, doubtful = _exact(selector.cells, batch.raws, odd)
    if exact or not frames:
        frames.append(exact or (pl.DataFrame(cells_of(selector.cells, [])), []))
    batch = batch.without(doubtful) if doubtful else batch
    return Selected(
        pages=batch.pages,
        frames=_joined([batch.placed(frame, rows) for frame, rows in frames]),
        compiled=len(batch.raws) - len(odd),
    )


def _exact(
    cells: Sequence[Cell], raws: Sequence[bytes], rows: Sequence[int]
) -> tuple[Placed | None, list[int]]:
    """Return the cells of records that are decoded, and the places of those that are none."""
    frames: list[pl.DataFrame] = []
    kept: list[int] = []
    doubtful: list[int] = []
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        records, doubt = together([raws[at] for at in some])
        if doubt:
            gone = {at for at, each in zip(some, records, strict=True) if ambiguous(each)}
            records = [each for at, each in zip(some, records, strict=True) if at not in gone]
            some = [at for at in some if at not in gone]
            doubtful += sorted(gone)
        frames.append(pl.DataFrame(cells_of(cells, records)))
        kept += some
    return (pl.concat(frames, how="diagonal", rechunk=True), kept) if frames else None, doubtful


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """The records of pages as one list, and the place of each."""

    pages: Sequence[Page]
    raws: list[bytes]
    number: list[int]
    index: list[int]
    at: list[int]

    @classmethod
    def of(cls, pages: Sequence[Page]) -> _Batch:
        raws: list[bytes] = []
        number: list[int] = []
        index: list[int] = []
        at: list[int] = []
        for page in pages:
            records = page.records
            assert isinstance(records, RawRecords)  # noqa: S101  (its caller saw to it)
            count = len(records)
            raws += records.raws
            number += [page.number] * count
            index += range(count)
            at += range(count) if page.lines is None else page.lines
        return cls(pages=pages, raws=raws, number=number, index=index, at=at)

    def without(self, doubtful: Sequence[int]) -> _Batch:
        """Return the batch with records refused, as they are where a page is decoded whole."""
        gone, pages, start, index = set(doubtful), [], 0, [*self.index]
        for page in self.pages:
            rows = range(start, start + len(page.records))
            start = rows.stop
            kept = [row for row in rows if row not in gone]
            for place, row in enumerate(kept):
                index[row] = place
            records = page.records
            assert isinstance(records, RawRecords)  # noqa: S101  (as `of` saw)
            refused = [
                Refusal(at=self.at[row], raw=as_json(records.sent(row - rows.start)),
                        reasons=(DUPLICATE_KEY,))
                for row in rows if row in gone
            ]  # fmt: skip
            pages.append(
                replace(
                    page, records=raw_records([self.raws[row] for row in kept]),
                    lines=[self.at[row] for row in kept], refused=_in_order(refused, page.refused),
                ) if refused else page
            )  # fmt: skip
        return replace(self, pages=pages, index=index)

    def placed(self, frame: pl.DataFrame, rows: Sequence[int]) -> RawFrame:
        """Return a frame with the places of its records."""
        places = {PAGE: self.number, INDEX: self.index, AT: self.at}
        whole = len(rows) == len(self.raws)
        return frame.with_columns(
            pl.Series(name, each if whole else [each[row] for row in rows], dtype=pl.UInt32)
            for name, each in places.items()
        )


def _in_order(*several: Iterable[Refusal]) -> tuple[Refusal, ...]:
    return tuple(sorted(chain(*several), key=lambda each: each.at))


# --- compiled ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Learned:
    """What a sample tells of records: their type, and the cells that can be computed of that."""

    dtype: pl.Struct
    found: arrow.Kind
    unread: frozenset[Names]
    columns: Sequence[Columns] = field(compare=False)
    others: Sequence[Cell] = field(compare=False)


def _tried(selector: CompiledSelector, raws: Sequence[bytes]) -> tuple[list[Placed], list[int]]:
    """Compile what fits, unless that seems to be in vain."""
    luck, every = selector.luck, [*range(len(raws))]
    if len(raws) < selector.worth or not luck.tries():
        return [], every
    if not luck.proven and len(raws) >= TRIAL * ONE_IN:
        few = raws[:: len(raws) // TRIAL]
        fit = len(few) - len(_compiled(selector, few)[1])
        if fit * ONE_IN < len(few):
            luck.learn(fit, len(few))
            return [], every
    frames, odd = _compiled(selector, raws)
    luck.learn(len(raws) - len(odd), len(raws))
    return frames, odd


def _compiled(selector: CompiledSelector, raws: Sequence[bytes]) -> tuple[list[Placed], list[int]]:
    """Return frames of the records that fit what a sample tells, and the places of the others."""
    frames: list[Placed] = []
    rows: list[int] = [*range(len(raws))]
    before: _Learned | None = None
    for round_ in range(ROUNDS):
        if len(rows) < (WORTH if round_ else selector.worth):
            break
        learned = _learned(selector, [raws[at] for at in rows[:: max(len(rows) // SAMPLE, 1)]])
        if learned == before or not learned.columns:
            break
        before = learned
        sent, sound, doubtful = without(raws, rows, learned.unread)
        read = arrow.read(sent, sound, learned.dtype, learned.found)
        rows = read.odd + doubtful
        if read.frames:
            found = pl.concat(read.frames, rechunk=True)
            try:
                made, unsure = _cells(learned, found, read.fit, raws)
            except UNFIT:  # whatever polars does not take, the exact path does
                return frames, sorted(rows + read.fit)
            frames.append(made)
            rows = rows + unsure
        rows = sorted(rows)
        if read.endless:
            break
    return frames, rows


def _learned(selector: CompiledSelector, sample: Sequence[bytes]) -> _Learned:
    """Return what a sample tells."""
    records = [each for each in together(sample)[0] if not ambiguous(each)]
    read = touched(selector.cells)
    dtype = dtype_of(read, records, selector.hints)
    if dtype not in selector.made:
        if len(selector.made) >= MADE:
            selector.made.clear()
        selector.made[dtype] = _made(selector, dtype)
    columns, others = selector.made[dtype]
    unread = mixed(records, read)
    found = arrow.learned(blanked(records, unread))
    return _Learned(dtype=dtype, found=found, unread=unread, columns=columns, others=others)


def _made(selector: CompiledSelector, dtype: pl.Struct) -> Made:
    """Return the cells that can be computed of columns of a dtype, and those that can not."""
    columns: list[Columns] = []
    others: list[Cell] = []
    for cell in selector.cells:
        made = compile_cell(cell, dtype)
        own = selector.dtypes.get(cell.field)
        if isinstance(made, Declined) or made.dtype not in (pl.String(), own):
            others.append(cell)
        else:
            columns.append(made)
    return columns, others


def _cells(
    learned: _Learned, frame: pl.DataFrame, places: list[int], raws: Sequence[bytes]
) -> tuple[Placed, list[int]]:
    """Return the cells of records that fit, and the places of those that only look like it."""
    made = frame.with_row_index(ROW).select(
        ROW,
        *(each.value for each in learned.columns),
        *(each.fault for each in learned.columns if each.fault is not None),
        pl.any_horizontal(
            each.unsure for each in learned.columns if each.unsure is not None
        ).alias(UNSURE) if any(each.unsure is not None for each in learned.columns)
        else pl.lit(value=False).alias(UNSURE),
    )  # fmt: skip
    unsure: list[int] = []
    if made[UNSURE].any():
        unsure = [places[row] for row in made.filter(UNSURE)[ROW]]
        made = made.filter(~pl.col(UNSURE))
        places = [places[row] for row in made[ROW]]
    faultless = [
        each.name for each in made if each.name.endswith("!") and each.null_count() == len(each)
    ]
    made = made.drop(ROW, UNSURE, *faultless)
    if learned.others:
        made = made.with_columns(cut_cells(learned.others, [raws[at] for at in places]))
    return (made, places), unsure
