"""What no expression reads, and no schema has: values of several kinds, taken out of the records.

Arrow reads all of a record, to see that no key comes twice, and a value of another kind than others
is odd to it, wherever it stands: one list of such would have all records decoded. So what the
expressions pass over is replaced by null where a sample has it of several kinds, and it is seen to
here that no key comes twice in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import accumulate
from typing import Any

from crmmap.select.arrow import NOTHING, Kind, Unlike, both, kind_of
from crmmap.select.document import ambiguous
from crmmap.select.pieces import NULL, Names, listed, pieces_of
from crmmap.select.raw_records import together
from crmmap.select.sight import Touched, is_plain

MOST = 32
"""Ways to what is taken out: where there are more, the names on them may be data."""


def mixed(records: Sequence[object], read: Touched) -> frozenset[Names]:
    """Return the ways to what has several kinds in these records, and is not read."""
    found = frozenset(each for each in _mixed(records, read, ()) if all(map(is_plain, each)))
    return found if len(found) <= MOST else frozenset()


def _mixed(records: Sequence[object], read: Touched, above: Names) -> Iterator[Names]:
    objects = [each for each in records if isinstance(each, dict)]
    for name in dict.fromkeys(name for each in objects for name in each):
        below, values = read.entries.get(name), [each.get(name) for each in objects]
        if below is None:
            if not _alike(values):
                yield (*above, name)
        elif below.items is None:
            yield from _mixed(values, below, (*above, name)) if below.entries else ()


def _alike(values: Sequence[object]) -> bool:
    nothing: Kind = NOTHING
    try:
        reduce(both, map(kind_of, values), nothing)
    except Unlike:
        return False
    return True


def blanked(records: Sequence[object], ways: frozenset[Names]) -> Sequence[object]:
    """Return decoded records with nothing at some ways; they are changed."""
    for record in records:
        for *above, name in ways:
            at: Any = record
            for step in above:
                at = at.get(step) if isinstance(at, dict) else None
            if isinstance(at, dict) and name in at:
                at[name] = None
    return records


def without(
    raws: Sequence[bytes], rows: list[int], ways: frozenset[Names]
) -> tuple[Sequence[bytes], list[int], list[int]]:
    """Return records with nothing at some ways, and the `rows` without and with a key twice there.

    Where something on a way is no object, they are as they were.
    """
    import pyarrow as pa

    if not ways:
        return raws, rows, []
    some = [raws[at] for at in rows]
    text = listed(some)
    pieces = pieces_of(ways)
    found = None if pieces is None else pieces.find(text)
    if found is None:
        return raws, rows, []
    start = pa.py_buffer(text).address
    cuts: list[list[tuple[int, int]]] = [[] for _ in some]
    doubtful: set[int] = set()
    for values in found.values():
        there = [at for at, each in enumerate(values) if each is not None]
        for at in there:
            piece = pa.py_buffer(values[at])
            cuts[at].append((piece.address - start, piece.size))
        decoded, doubt = together([each for each in values if each is not None])
        if doubt:
            doubtful |= {at for at, each in zip(there, decoded, strict=True) if ambiguous(each)}
    made = [*raws]
    ends = accumulate(len(each) + 1 for each in some)
    for at, each, end, spans in zip(rows, some, ends, cuts, strict=True):
        made[at] = _nulled(text, end - len(each), end, spans)
    sound = [each for at, each in enumerate(rows) if at not in doubtful]
    return made, sound, [rows[at] for at in doubtful]


def _nulled(text: bytes, at: int, end: int, spans: list[tuple[int, int]]) -> bytes:
    """Return a stretch of a text with null for some parts of it."""
    parts: list[bytes] = []
    for begin, size in sorted(spans):
        parts += (text[at:begin], NULL)
        at = begin + size
    return b"".join((*parts, text[at:end]))
