"""The steps of a `shape`, applied to what a page holds: values in, records and misfits out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crmmap.kinds.shaping import Around, Misfit, Shape, doubled
from crmmap.select.document import Unsuited
from crmmap.select.jmespath import Jmespath, find_records

MOST = 5_000_000
"""Fields of records that are made of one page, about; two lists exploded multiply each other."""

UNFIT = (Misfit, Unsuited)

Placed = tuple[int, object]
"""A value, or a misfit, and its place among what the source sent."""


def sent_by(
    records: Jmespath, document: object, shape: Sequence[Shape], around: Around
) -> list[Placed]:
    """Return what the source sent as records: a map's entries, a table's rows, a list's items.

    Raises ValueError where there are none of the kind.
    """
    if not shape or shape[0].takes == "record":
        return list(enumerate(find_records(records, document)))
    found = records.find(document)
    if shape[0].takes == "object" and not isinstance(found, dict):
        values = find_records(records, document)
    elif found is None:
        message = f"'{records.text}' selects nothing"
        raise ValueError(message)
    else:
        values = [found]
    made = _applied(shape[0], [(0, value) for value in values], around)
    return [(at, value) for at, (_, value) in enumerate(made)]


def shaped(sent: list[Placed], shape: Sequence[Shape], around: Around) -> list[Placed]:
    """Return the records that the steps make of what the source sent.

    Raises ValueError where they would be too many to hold.
    """
    if shape and shape[0].takes != "record":
        shape = shape[1:]
    for step in shape:
        sent = list(_applied(step, sent, around))
    return sent


def _applied(step: Shape, values: Sequence[Placed], around: Around) -> Iterator[Placed]:
    make, made = step.maker(around), 0
    doubtful = around.doubtful if step.takes == "record" else lambda _: False
    for at, value in values:
        if isinstance(value, UNFIT):
            yield at, value
        elif doubtful(value):
            yield at, doubled(value)
        else:
            for each in make(value):
                made += len(each) if isinstance(each, dict) else 1
                if made > MOST:
                    message = f"`shape` makes more than {MOST:,} fields of one page"
                    raise ValueError(message)
                yield at, each
