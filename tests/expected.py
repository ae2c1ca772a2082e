"""What a store must hold after any sequence of runs: a plain model, record by record, no SQL.

model = Model(SHAPES)
counts = model.load("run1", "people", records)      # one batch
counts = model.settle("run1", ["people"], 100)      # the end of the run
model.tables["people"]["p1"].cells
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    write: str = "upsert"
    """Or `append`, `snapshot`, `replace`: those three without lookups."""


@dataclass(frozen=True)
class Kept:
    """A row, and the run that last wrote it; a stub has its key and nothing else."""

    cells: Cells
    run: str
    stub: bool = False
    gone: bool = False


@dataclass
class Model:
    """Tables by stream and key; what waits, by key and raw record, with the run that read it."""

    shapes: Mapping[str, Shape]
    tables: dict[str, dict[str, Kept]] = field(default_factory=dict)
    waiting: dict[str, dict[tuple[str, str], str]] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)
    """Raw records that were refused, by `run stream raw`."""
    met: dict[str, set[str]] = field(default_factory=dict)
    """Keys that a read has met so far, of a snapshot."""
    gathered: dict[str, dict[str, Cells]] = field(default_factory=dict)
    """Rows that are to replace the others."""

    def __post_init__(self) -> None:
        for name in self.shapes:
            self.tables[name], self.waiting[name] = {}, {}
            self.begin(name)

    def begin(self, stream: str) -> None:
        """Begin a read from the beginning."""
        self.met[stream], self.gathered[stream] = set(), {}

    def finish(self, run: str, stream: str) -> Counter[str]:
        """End a read that met all that the source has; return what came of what it did not meet."""
        table, counts = self.tables[stream], Counter[str]()
        match self.shapes[stream].write:
            case "snapshot":
                for key in [key for key in table if key not in self.met[stream]]:
                    counts["deleted"] += not table[key].gone
                    table[key] = table[key] if table[key].gone else Kept(
                        table[key].cells, run, gone=True
                    )  # fmt: skip
            case "replace":
                new = self.gathered[stream]
                for key in [key for key in table if key not in new]:
                    del table[key]
                    counts["deleted"] += 1
                for key, cells in new.items():
                    same = key in table and table[key].cells == cells
                    counts["unchanged" if same else "updated" if key in table else "inserted"] += 1
                    table[key] = table[key] if same else Kept(cells, run)
                counts["deferred"] -= len(new)
        return counts

    def load(self, run: str, stream: str, records: Sequence[Record]) -> Counter[str]:
        """Take in a batch and return where its records went."""
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
            if record["kind"] != "plain":
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
            counts[self._write(run, stream, record)] += 1
        return counts, whole, chosen, waits

    def settle(self, run: str, streams: Sequence[str], batch: int) -> Counter[tuple[str, str]]:
        """Try what waits until nothing more comes of it; return counts by stream and outcome."""
        total: Counter[tuple[str, str]] = Counter()
        settled = True
        while settled:
            settled = False
            for stream in streams:
                before = len(self.waiting[stream])
                places = sorted(self.waiting[stream], key=_place)
                for start in range(0, len(places), batch):
                    counts = self._retry(run, stream, places[start : start + batch])
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
                own = {row["id"] for row in left} if each.parent == stream else set()
                known = {None, *self.tables[each.parent], *own}
                left = [row for row in left if row[each.field] in known]
        return left

    def _stub(self, run: str, shape: Shape, record: Record, counts: Counter[str]) -> None:
        for each in shape.lookups:
            key = record[each.field]
            if each.missing == "stub" and key is not None and key not in self.tables[each.parent]:
                self.tables[each.parent][key] = Kept({"id": key}, run, stub=True)
                counts["stubbed"] += 1

    @staticmethod
    def _chosen(shape: Shape, rows: Sequence[Record]) -> dict[str, Record]:
        """Return one record of each key; of a log, of each content."""
        if shape.write == "append":
            return {written({name: row[name] for name in shape.fields}): row for row in rows}
        if shape.version:
            rows = sorted(rows, key=lambda row: row["changed"])
        return {row["id"]: row for row in rows}

    def _write(self, run: str, stream: str, record: Record) -> str:
        shape, table = self.shapes[stream], self.tables[stream]
        cells = {name: record[name] for name in shape.fields}
        for each in shape.lookups:
            if each.missing == "null" and cells[each.field] not in self.tables[each.parent]:
                cells[each.field] = None
        key = written(cells) if shape.write == "append" else record["id"]
        if shape.write == "replace":
            repeated = key in self.gathered[stream]
            self.gathered[stream][key] = cells
            return "duplicate" if repeated else "deferred"
        old = table.get(key)
        if old is not None and not old.stub:
            if old.cells == cells and not old.gone:
                return "duplicate" if old.run == run else "unchanged"
            if shape.version and cells["changed"] < old.cells["changed"]:
                return "duplicate"
        table[key] = Kept(cells, run)
        return "inserted" if old is None else "updated"

    def _hold(
        self, run: str, stream: str, whole: Sequence[Record], chosen: Mapping[str, Record],
        waits: Sequence[Record], counts: Counter[str],
    ) -> None:  # fmt: skip
        """Keep what waits, but for what a newer version outdoes; so is what waited before."""
        version, waiting = self.shapes[stream].version, self.waiting[stream]
        stored = [(-1, json.loads(raw), by) for (_, raw), by in waiting.items()]
        fresh = [(at, row, run) for at, row in enumerate(whole) if row in waits]
        loaded = [(at, row, run) for at, row in enumerate(whole) if row is chosen.get(row["id"])]

        def outdone(one: tuple[int, Record, str]) -> bool:
            return any(
                _outdoes(other, one, version=version) for other in (*stored, *fresh, *loaded)
            )

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


def _outdoes(
    other: tuple[int, Record, str], one: tuple[int, Record, str], *, version: bool
) -> bool:
    (at, row, run), (place, waits, by) = other, one
    if row["id"] != waits["id"]:
        return False
    if version and row["changed"] != waits["changed"]:
        return bool(row["changed"] > waits["changed"])
    return at > place and (not version or run != by or row == waits)


def _typed(name: str, cell: Any) -> Any:
    return datetime.fromisoformat(cell) if name == "changed" and cell is not None else cell


def written(record: Record) -> str:
    return json.dumps(record, sort_keys=True)
