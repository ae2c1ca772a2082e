"""What a store must hold after any sequence of runs: a plain model, record by record, no SQL.

model = Model(SHAPES)
counts = model.load("run1", "people", records)      # one batch
counts = model.settle("run1", ["people"], 100)      # the end of the run
model.tables["people"]["p1"].cells
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any

Record = Mapping[str, Any]
Cells = dict[str, Any]


@dataclass(frozen=True)
class Lookup:
    """A field that names a row of `parent`; `missing` is null, stub, wait or reject."""

    field: str
    parent: str
    missing: str


@dataclass(frozen=True)
class Shape:
    """What the mapping says of a stream; its table and fields are named like the source's."""

    fields: Sequence[str]
    lookups: Sequence[Lookup] = ()
    version: bool = False
    """Whether the greatest `changed` wins; otherwise the record that was read last."""
    first: bool = False
    """Whether the record that was read first wins."""
    write: str = "upsert"
    """Or `append`, `replace`, `history`, `delete`, `sweep`: those five without lookups; or
    `snapshot`. A history without a version ends what a complete read did not bring."""
    of: str = ""
    """The stream whose rows it deletes, of `delete` and `sweep`."""
    per: str = ""
    """The field that holds for which row of its parent a record was asked, of a snapshot of links:
    what is gone is known of those rows alone for which a read has asked."""
    tombstones: bool = False
    """Whether a record of the kind `archived` says that its row is gone; otherwise it is none."""


@dataclass(frozen=True)
class Kept:
    """A row, and the run that last wrote it; a stub has its key and nothing else.

    `said` are the cells as the last record had them, which are fewer if it said that the row is
    gone. `at` tells when it was written. Of a history, a version that has ended is gone.
    """

    cells: Cells
    run: str
    at: int
    said: Cells | None = None
    gone: bool = False

    @property
    def stub(self) -> bool:
        return self.said is None


Table = dict[str, Kept]


@dataclass
class Model:
    """Tables by stream and key; what waits, by key and raw record, with the run that read it."""

    shapes: Mapping[str, Shape]
    tables: dict[str, Table] = field(default_factory=dict)
    waiting: dict[str, dict[tuple[str, str], str]] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)
    """Raw records that were refused, by `run stream raw`."""
    met: dict[str, set[str]] = field(default_factory=dict)
    """Keys that a read has met so far, of a snapshot."""
    asked: dict[str, frozenset[str]] = field(default_factory=dict)
    """For which rows of its parent a read has asked, of links."""
    gathered: dict[str, dict[str, Cells]] = field(default_factory=dict)
    """Rows that are to replace the others."""

    now: int = 0
    """Grows with all that happens."""
    began: dict[str, int] = field(default_factory=dict)
    """When the streams' reads began."""

    def __post_init__(self) -> None:
        for name, shape in self.shapes.items():
            self.waiting[name] = {}
            self.tables[name] = self.tables[shape.of] if shape.of else {}
            self.begin(name)

    def begin(self, stream: str) -> None:
        """Begin a read from the beginning."""
        self.now += 1
        self.began[stream] = self.now
        self.met[stream], self.gathered[stream] = set(), {}

    def there(self, stream: str) -> frozenset[str]:
        """Return the keys of the rows that are there: for them, links are asked for."""
        return frozenset(key for key, kept in self.tables[stream].items() if not kept.gone)

    def finish(self, run: str, stream: str) -> Counter[str]:
        """End a read that met all that the source has; return what came of what it did not meet."""
        shape, table, counts = self.shapes[stream], self.tables[stream], Counter[str]()
        if shape.write == "replace":
            new = self.gathered[stream]
            for key in [key for key in table if key not in new]:
                del table[key]
                counts["deleted"] += 1
            for key, cells in new.items():
                same = key in table and table[key].cells == cells
                counts["unchanged" if same else "updated" if key in table else "inserted"] += 1
                table[key] = table[key] if same else self._kept(run, cells)
            counts["deferred"] -= len(new)
        elif shape.write in ("snapshot", "sweep") or (
            shape.write == "history" and not shape.version
        ):
            for key, kept in table.items():
                unmet = kept.cells["id"] not in self.met[stream] and kept.at < self.began[stream]
                asked = not shape.per or kept.cells[shape.per] in self.asked[stream]
                if unmet and asked and not kept.gone and not kept.stub:
                    table[key] = replace(kept, run=run, gone=True)
                    counts["deleted"] += 1
        if shape.write == "snapshot":
            for place in [each for each in self.waiting[stream] if each[0] not in self.met[stream]]:
                del self.waiting[stream][place]
        return counts

    def load(self, run: str, stream: str, records: Sequence[Record]) -> Counter[str]:
        """Take in a batch and return where its records went."""
        self.now += 1
        counts, whole, chosen, waits = self._take(run, stream, records)
        self._hold(run, stream, whole, chosen, waits, counts)
        return counts

    def _take(
        self, run: str, stream: str, records: Sequence[Record]
    ) -> tuple[Counter[str], list[Record], Mapping[str, Record], list[Record]]:
        """Write what has parents; return also the sound records, those chosen, those that wait."""
        shape, counts = self.shapes[stream], Counter(fetched=len(records))
        whole: list[Record] = []
        for record in records:
            if record["kind"] not in (("plain", "archived") if shape.tombstones else ("plain",)):
                counts["filtered"] += 1
                continue
            self.met[stream].add(record["id"])
            if isinstance(record["size"], str):
                self._reject(run, stream, record, counts)
            else:
                whole.append(record)
        rows = self._with_parents(stream, whole)
        waits = [each for each in whole if each not in rows]
        for record in waits if self._strict(shape) == "reject" else ():
            self._reject(run, stream, record, counts)
        waits = waits if self._strict(shape) == "wait" else []
        for record in rows:
            self._stub(run, shape, record, counts)
        chosen = self._chosen(shape, rows)
        counts["duplicate"] += len(rows) - len(chosen)
        for record in chosen.values():
            counts[self._write(run, stream, record, counts)] += 1
        return counts, whole, chosen, waits

    def settle(self, run: str, streams: Sequence[str], batch: int) -> Counter[tuple[str, str]]:
        """Try what waits until nothing more comes of it; return counts by stream and outcome."""
        self.now += 1
        total: Counter[tuple[str, str]] = Counter()
        size, settled = batch, True
        while settled or size == batch:
            size = batch if settled else sys.maxsize  # those that wait for each other
            settled = False
            for stream in streams:
                before = len(self.waiting[stream])
                places = sorted(self.waiting[stream], key=_place)
                for start in range(0, len(places), size):
                    counts = self._retry(run, stream, places[start : start + size])
                    total.update({(stream, name): count for name, count in counts.items()})
                settled = settled or len(self.waiting[stream]) < before
        return total

    def rows(self, stream: str) -> list[tuple[Cells, str, bool]]:
        """Return a table's rows: each with the run that last wrote it, and whether it is gone."""
        fields = self.shapes[stream].fields
        return [
            ({name: _typed(name, kept.cells.get(name)) for name in fields}, kept.run, kept.gone)
            for kept in self.tables[stream].values()
        ]

    def _retry(self, run: str, stream: str, tried: Sequence[tuple[str, str]]) -> Counter[str]:
        waiting = self.waiting[stream]
        counts, _, _, waits = self._take(run, stream, [json.loads(raw) for _, raw in tried])
        still = {(each["id"], written(each)) for each in waits}
        for pair in tried:
            if pair not in still:
                del waiting[pair]
        counts["fetched"] = 0
        counts["deferred"] = len(still) - len(tried)
        return counts

    def _reject(self, run: str, stream: str, record: Record, counts: Counter[str]) -> None:
        self.rejected[f"{run} {stream} {written(record)}"] += 1
        counts["rejected"] += 1

    @staticmethod
    def _strict(shape: Shape) -> str | None:
        """Return what becomes of a record whose parent is missing, if it does not become a row."""
        found = [each.missing for each in shape.lookups if each.missing in ("wait", "reject")]
        return found[0] if found else None

    def _with_parents(self, stream: str, rows: Sequence[Record]) -> list[Record]:
        """Return the records that become rows: one that does not is nobody's parent, either."""
        lookups = [e for e in self.shapes[stream].lookups if e.missing in ("wait", "reject")]
        left, before = list(rows), -1
        while len(left) != before:
            before = len(left)
            for each in lookups:
                known = {None, *self.tables[each.parent]}
                if each.parent == stream:
                    known |= {row["id"] for row in left if row["kind"] != "archived"}
                left = [row for row in left if row[each.field] in known]
        return left

    def _stub(self, run: str, shape: Shape, record: Record, counts: Counter[str]) -> None:
        for each in shape.lookups:
            key = record[each.field]
            if each.missing == "stub" and key is not None and key not in self.tables[each.parent]:
                self.tables[each.parent][key] = Kept({"id": key}, run, self.now)
                counts["stubbed"] += 1

    @staticmethod
    def _chosen(shape: Shape, rows: Sequence[Record]) -> dict[str, Record]:
        """Return one record of each key; of a log, of each content; of versions, of each time."""
        if shape.write == "append":
            return {written({name: row[name] for name in shape.fields}): row for row in rows}
        if shape.write == "history" and shape.version:
            return {f"{row['id']} {row['changed']}": row for row in rows}
        if shape.version:
            rows = sorted(rows, key=lambda row: row["changed"])
        return {row["id"]: row for row in (reversed(rows) if shape.first else rows)}

    def _write(self, run: str, stream: str, record: Record, counts: Counter[str]) -> str:
        """Write a row, and return which count it is in; count, too, what it deletes."""
        shape, table = self.shapes[stream], self.tables[stream]
        cells = {name: record[name] for name in shape.fields}
        for each in shape.lookups:
            if each.missing == "null" and cells[each.field] not in self.tables[each.parent]:
                cells[each.field] = None
        match shape.write:
            case "append":
                return self._add(run, table, cells)
            case "history":
                return self._add_version(run, shape, table, cells)
            case "replace":
                repeated = cells["id"] in self.gathered[stream]
                self.gathered[stream][cells["id"]] = cells
                return "duplicate" if repeated else "deferred"
            case "delete":
                return self._delete(run, shape, table, cells, counts)
            case "sweep":
                return self._list(run, stream, cells["id"])
        return self._upsert(run, shape, table, cells, counts)

    def _add(self, run: str, table: Table, cells: Cells) -> str:
        key = written(cells)
        if key in table:
            return _again(table[key], run)
        table[key] = self._kept(run, cells)
        return "inserted"

    def _add_version(self, run: str, shape: Shape, table: Table, cells: Cells) -> str:
        """Write a row beside the others of its key, of which the last holds."""
        others = [key for key, kept in table.items() if kept.cells["id"] == cells["id"]]
        if shape.version:
            key = f"{cells['id']} {cells['changed']}"
            if key in table:
                return _again(table[key], run)
            newest = max([*others, key])
        else:
            key = newest = f"{cells['id']} {len(others)}"
            last = table[others[-1]] if others else None
            if last is not None and not last.gone:
                if last.cells == cells:
                    return _again(last, run)
                if last.run == run:  # a run keeps one version, the last
                    key = newest = others[-1]
        table[key] = self._kept(run, cells)
        for each in (*others, key):
            table[each] = replace(table[each], gone=each != newest)
        return "updated" if others else "inserted"

    def _upsert(
        self, run: str, shape: Shape, table: Table, cells: Cells, counts: Counter[str]
    ) -> str:
        gone = cells["kind"] == "archived"
        old = table.get(cells["id"])
        if old is not None and not old.stub:
            if old.said == cells and old.gone == gone:
                return _again(old, run)
            if shape.first and not old.gone and not gone:
                return "duplicate"
            if shape.version and cells["changed"] < old.cells["changed"]:
                return "duplicate"
        row = self._kept(run, cells)
        if gone and old is not None:
            counts["deleted"] += not old.gone
            row = replace(row, cells=_over(old.cells, cells))
        table[cells["id"]] = replace(row, gone=gone)
        return "inserted" if old is None else "updated"

    def _delete(
        self, run: str, shape: Shape, table: Table, cells: Cells, counts: Counter[str]
    ) -> str:
        old = table.get(cells["id"])
        if old is None or old.gone:
            return "unchanged"
        if shape.version and not old.stub and cells["changed"] < old.cells["changed"]:
            return "duplicate"
        counts["deleted"] += 1
        table[cells["id"]] = replace(
            old, cells=_over(old.cells, cells), run=run, at=self.now, gone=True
        )
        return "updated"

    def _list(self, run: str, stream: str, key: str) -> str:
        """Take note that a row is there: it is back if it was gone before the read began."""
        old = self.tables[stream].get(key)
        if old is None or not old.gone or old.at > self.began[stream]:
            return "unchanged"
        self.tables[stream][key] = replace(old, run=run, at=self.now, gone=False)
        return "updated"

    def _kept(self, run: str, cells: Cells) -> Kept:
        return Kept(cells, run, self.now, said=cells)

    def _hold(
        self, run: str, stream: str, whole: Sequence[Record], chosen: Mapping[str, Record],
        waits: Sequence[Record], counts: Counter[str],
    ) -> None:  # fmt: skip
        """Keep what waits, but for what a newer version outdoes; so is what waited before."""
        shape = self.shapes[stream]
        waiting = self.waiting[shape.of if shape.write == "delete" else stream]
        stored = [(-1, json.loads(raw), by) for (_, raw), by in waiting.items()]
        fresh = [(at, row, run) for at, row in enumerate(whole) if row in waits]
        loaded = [
            (-2 if shape.first else at, row, run)
            for at, row in enumerate(whole)
            if row is chosen.get(row["id"])
        ]

        def outdone(one: tuple[int, Record, str]) -> bool:
            return any(_outdoes(other, one, shape) for other in (*stored, *fresh, *loaded))

        for one in [each for each in stored if outdone(each)]:
            if waiting.pop((one[1]["id"], written(one[1]))) == run:
                counts["deferred"] -= 1
                counts["duplicate"] += 1
        for one in fresh:
            counts["duplicate" if outdone(one) else "deferred"] += 1
        for one in fresh:
            if not outdone(one):
                waiting[one[1]["id"], written(one[1])] = run


def _place(waiting: tuple[str, str]) -> tuple[str, str]:
    """Return where a record that waits stands: records are tried again in this order."""
    key, raw = waiting
    return key, sha256(raw.encode()).hexdigest()


def _outdoes(other: tuple[int, Record, str], one: tuple[int, Record, str], shape: Shape) -> bool:
    (at, row, run), (place, waits, by) = other, one
    if row["id"] != waits["id"]:
        return False
    if shape.version and row["changed"] != waits["changed"]:
        return bool(row["changed"] > waits["changed"])
    if shape.first:
        return at < place
    return at > place and (not shape.version or run != by or row == waits)


def _again(kept: Kept, run: str) -> str:
    """Return what a row comes to that is there as it was."""
    return "duplicate" if kept.run == run else "unchanged"


def _over(cells: Cells, given: Cells) -> Cells:
    """Return cells with those of the others that have a value."""
    return {**cells, **{name: cell for name, cell in given.items() if cell is not None}}


def _typed(name: str, cell: Any) -> Any:
    return datetime.fromisoformat(cell) if name == "changed" and cell is not None else cell


def written(record: Record) -> str:
    return json.dumps(record, sort_keys=True)
