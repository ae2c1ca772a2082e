"""Whether `dedupe` can be done: by the rules beside the table's key, on what they look at."""

from __future__ import annotations

from collections.abc import Iterator

from crmmap.kinds.types import Json
from crmmap.spec.duplicates import DUPLICATES, Latest
from crmmap.spec.faults import Fault, guess, quoted, shown
from crmmap.spec.model import Lookup, Mapping, Stream
from crmmap.values import Path

LONGEST_NAME = 63


def faults(mapping: Mapping) -> Iterator[Fault]:
    """Yield what can't be done of the rules of every stream, and the lookups that they forbid."""
    for name, stream in mapping.streams.items():
        path: Path = ("streams", name)
        if stream.fields and stream.table.key:
            yield from _rules(stream, (*path, "dedupe", "by"))
            yield from _keep(mapping, stream, path)
        for field, each in stream.fields.items():
            if each.lookup is not None:
                place = (*path, "fields", field, "lookup")
                yield from _lookup(mapping, name, each.lookup, place)


def beside(stream: Stream) -> bool:
    """Say whether a stream's records may be the same under several keys."""
    return bool(stream.dedupe.beside(stream.table.key))


def _rules(stream: Stream, path: Path) -> Iterator[Fault]:
    for number, rule in enumerate(stream.dedupe.by):
        for at, name in enumerate(rule):
            place = (*path, number, at)
            if name not in stream.fields:
                message = (
                    f"names {shown('field', name)}, which the stream does not have"
                    f"{guess(name, stream.fields)}. It has: {quoted(stream.fields)}"
                )
                yield Fault(path=place, rule="field.unknown", message=message)
            elif name in rule[:at]:
                message = "stands in the rule twice. Keep one of them"
                yield Fault(path=place, rule="dedupe.twice", message=message)
            elif isinstance(stream.fields[name].type, Json):
                message = "holds JSON, which is not compared. Make a field of the part that counts"
                yield Fault(path=place, rule="dedupe.json", message=message)
        if set(stream.table.key) < set(rule):
            message = (
                "holds the table's whole key, which finds the same records with no other field. "
                "Leave the rule out"
            )
            yield Fault(path=(*path, number), rule="dedupe.key", message=message)


def _keep(mapping: Mapping, stream: Stream, path: Path) -> Iterator[Fault]:
    if not beside(stream):
        return
    if stream.dedupe.keep == "last":
        message = (
            "finds the same record under several keys: say `keep: first` or "
            "`keep: {latest: FIELD}`. With `last`, they would change places in every run"
        )
        yield Fault(path=(*path, "dedupe", "by"), rule="dedupe.last", message=message, on_key=True)
    other = mapping.streams.get(stream.instead_of or "")
    if other is not None and other.dedupe != stream.dedupe:
        message = f"must be as in '{stream.instead_of}', which fills the same table"
        yield Fault(path=(*path, "dedupe"), rule="dedupe.instead_of", message=message, on_key=True)
    if isinstance(stream.dedupe.keep, Latest):
        yield from name_beside(mapping, stream, DUPLICATES, "dedupe", path)


def name_beside(
    mapping: Mapping, stream: Stream, end: str, word: str, path: Path
) -> Iterator[Fault]:
    """Yield why there can't be a table beside a stream's own, whose name ends so."""
    name, place = f"{stream.table.name}{end}", (*path, "table", "name")
    if len(name) > LONGEST_NAME:
        message = (
            f"is too long: `{word}` needs a table beside it, called the same with '{end}'. "
            f"It may have {LONGEST_NAME - len(end)} characters"
        )
        yield Fault(path=place, rule="table.beside", message=message)
    for owner, each in mapping.streams.items():
        if each.table.name.casefold() == name.casefold():
            message = f"is that of the table which '{owner}' fills, once '{end}' is added"
            yield Fault(path=place, rule="table.beside", message=message)


def _lookup(mapping: Mapping, name: str, lookup: Lookup, path: Path) -> Iterator[Fault]:
    """Yield why nothing may refer to rows that give way to others."""
    parent = mapping.streams.get(lookup.stream)
    if parent is None or not beside(parent):
        return
    if isinstance(parent.dedupe.keep, Latest):
        message = (
            f"leads to '{lookup.stream}', whose rows may give way to rows with other keys "
            "(`dedupe`). With `keep: first` they stay"
        )
        yield Fault(path=path, rule="lookup.dedupe", message=message)
    elif lookup.missing == "stub" or lookup.stream == name:
        message = (
            f"leads to '{lookup.stream}', which has rules beside its key (`dedupe`): "
            "its row may turn out to be a duplicate. Not allowed there: `missing: stub`, and "
            "lookups of a stream in itself"
        )
        yield Fault(path=path, rule="lookup.dedupe", message=message)
