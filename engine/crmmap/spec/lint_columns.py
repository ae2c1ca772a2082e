"""Whether fields can do what they say: expressions, checks, defaults and error rules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import fields as parts_of

import polars as pl
from polars.exceptions import PolarsError

from crmmap.kinds.checks import Check, Pattern, rule_name
from crmmap.kinds.formats import Format
from crmmap.kinds.types import Json, Type
from crmmap.spec.faults import Fault
from crmmap.spec.languages import by_columns, format_of, language_of
from crmmap.spec.model import Field, Mapping, Stream
from crmmap.values import Path


def faults(mapping: Mapping, spoilt: Collection[Path]) -> Iterator[Fault]:
    """Yield what fields can't do. A type that is `spoilt`, or has a part that is, is left out."""
    doubted = frozenset(path[:length] for path in spoilt for length in range(len(path) + 1))
    for name, stream in mapping.streams.items():
        path: Path = ("streams", name)
        form = _format(mapping, stream, path, doubted)
        if form is not None and not by_columns(form):
            yield from _compiles(language_of(form).records, stream.records, (*path, "records"))
            changed = stream.changes.records if stream.changes is not None else None
            if changed is not None:
                place = (*path, "changes", "records")
                yield from _compiles(language_of(form).records, changed, place)
        for field, each in stream.fields.items():
            yield from _field(form, each, (*path, "fields", field), doubted)
        yield from _where(stream, path, doubted)
    yield from _default_rule(mapping)


def _format(
    mapping: Mapping, stream: Stream, path: Path, doubted: Collection[Path]
) -> Format | None:
    """Return the format that says what expressions mean; None where that is in doubt."""
    shared = (*mapping.source_path(mapping.source_name(stream)), "format")
    if (shared if stream.format is None else (*path, "format")) in doubted:
        return None
    return format_of(stream, mapping.source_of(stream))


def _field(
    form: Format | None, field: Field, path: Path, doubted: Collection[Path]
) -> Iterator[Fault]:
    if form is not None and not by_columns(form):
        several, compiled = len(field.from_) > 1, language_of(form).record
        for at, text in enumerate(field.from_):
            yield from _compiles(compiled, text, (*path, "from", *((at,) if several else ())))
        if field.optional:
            message = "is for tables only: of other records, what is missing is read as nothing"
            yield Fault(path=(*path, "optional"), rule="field.optional", message=message)
    if (*path, "type") not in doubted:
        yield from _checks(field.check, field.type, (*path, "check"))
        yield from _default(field, path)
        if field.on_error == "keep_text" and not _keeps_text(field.type):
            message = "keep_text needs a column of text. Allowed here: reject, null_and_note"
            yield Fault(path=(*path, "on_error"), rule="field.on_error", message=message)


def _compiles(compiled: Callable[[str], object], text: str, path: Path) -> Iterator[Fault]:
    try:
        compiled(text)
    except ValueError as error:
        yield Fault(path=path, rule="expression", message=str(error))


def _where(stream: Stream, path: Path, doubted: Collection[Path]) -> Iterator[Fault]:
    for word, name, checks in (
        *(("where", name, checks) for name, checks in stream.where.items()),
        *(("deleted", name, checks) for name, checks in stream.deleted.items()),
    ):
        if name in stream.fields and (*path, "fields", name, "type") not in doubted:
            yield from _checks(checks, stream.fields[name].type, (*path, word, name))


def _checks(checks: tuple[Check, ...], type_: Type, path: Path) -> Iterator[Fault]:
    for check in checks:
        word = rule_name(check)
        dtype = _dtype(type_)
        if dtype is not None and not check.applies_to(dtype):
            message = f"can't be asked of this field's type, which is held as {dtype}"
            yield Fault(path=(*path, word), rule="check.type", message=message)
        elif dtype is not None and not isinstance(check, Pattern) and not _passable(check, dtype):
            message = "has a value that can't be compared with this field's type"
            yield Fault(path=(*path, word), rule="check.value", message=message)


def _passable(check: Check, dtype: pl.DataType) -> bool:
    """Try the check on a column without values."""
    column = pl.DataFrame({"column": pl.Series([None], dtype=dtype)})
    try:
        column.select(check.passes(pl.col("column")))
    except (PolarsError, ValueError, TypeError):
        return False
    return True


def _dtype(type_: Type) -> pl.DataType | None:
    """Return how the type's columns are held; None where that depends on a setting."""
    return None if _templated(type_) else type_.dtype


def _templated(type_: Type) -> bool:
    return any("{{" in str(getattr(type_, each.name)) for each in parts_of(type_))  # type: ignore[arg-type]


def _keeps_text(type_: Type) -> bool:
    return not isinstance(type_, Json) and _dtype(type_) in (None, pl.String())


def _default(field: Field, path: Path) -> Iterator[Fault]:
    if field.default is None or _templated(field.type):
        return
    try:
        frame = pl.DataFrame({"text": [field.default]}, schema={"text": pl.String})
        read = frame.select(field.type.read(pl.col("text"))).to_series()
    except (PolarsError, ValueError):
        read = pl.Series([None])
    if read[0] is None:
        message = "is not a value of this field's type. Write it as the source would"
        yield Fault(path=(*path, "default"), rule="field.default", message=message)


def _default_rule(mapping: Mapping) -> Iterator[Fault]:
    if mapping.defaults.on_error != "keep_text":
        return
    for stream in mapping.streams.values():
        for name, field in stream.fields.items():
            if field.on_error is None and not _keeps_text(field.type):
                message = f"keep_text needs columns of text, and '{name}' is none. Say it per field"
                yield Fault(path=("defaults", "on_error"), rule="field.on_error", message=message)
                return
