"""A database's values as texts, and as JSON that finds a place again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from crmmap.extract.database_dialects import Family
from crmmap.values import Reason, as_json

NOT_UTF8 = "sql.bytes"
"""The rule that bytes break which are no UTF-8 text."""

TIMES = ("moment", "local", "day")

Row = Sequence[Any]


def texts_of(
    rows: Sequence[Row], columns: Mapping[str, Family], *, zero_is_empty: bool
) -> tuple[pl.DataFrame, dict[int, Reason]]:
    """Return the rows' cells as texts, by column: null where there is no value.

    Beside them stand the rows that hold bytes which are no text, by their index: in those,
    such cells are written `0x00ff`.
    """
    values: Sequence[Row] = [*zip(*rows, strict=True)] or [()] * len(columns)
    found: list[pl.Series] = []
    faults: dict[int, Reason] = {}
    for (name, family), cells in zip(columns.items(), values, strict=False):
        texts, broken = _texts(cells, family)
        series = pl.Series(name, texts, dtype=pl.String)
        if family in TIMES and zero_is_empty:
            empty = series.str.starts_with("0000-00-00").fill_null(value=False)
            series = series.zip_with(~empty, pl.Series([None], dtype=pl.String))
        found.append(series)
        message = f"the column '{name}' holds bytes that are no UTF-8 text"
        reason = Reason(field=None, rule=NOT_UTF8, message=message)
        faults.update(dict.fromkeys(broken, reason))
    return pl.DataFrame(found), faults


def _texts(cells: Row, family: Family) -> tuple[list[str | None], list[int]]:
    """Return the cells' texts, and the indexes of those that could not be read."""
    kinds = {*map(type, cells)} - {type(None)}
    if kinds <= {str}:
        return list(cells), []
    if bytes not in kinds:
        return [None if cell is None else text_of(cell) for cell in cells], []
    if family == "bits":
        return [_number(cell) for cell in cells], []
    texts = [_decoded(cell) if isinstance(cell, bytes) else cell for cell in cells]
    broken = [at for at, text in enumerate(texts) if text is None and cells[at] is not None]
    for at in broken:
        texts[at] = f"0x{cells[at].hex()}"
    return [None if text is None else text_of(text) for text in texts], broken


def text_of(value: Any) -> str:
    """Return a value's text, with all of its digits."""
    way = WAYS.get(type(value))
    return way(value) if way is not None else str(value)


def _number(bits: bytes | None) -> str | None:
    return None if bits is None else str(int.from_bytes(bits, "big"))


def _decoded(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def clock(span: timedelta) -> str:
    """Return a span of time as MySQL writes it: `-02:00:00`, with a fraction if it has one."""
    sign, span = ("-", -span) if span < timedelta() else ("", span)
    minutes, seconds = divmod(span.days * 86_400 + span.seconds, 60)
    fraction = f".{span.microseconds:06}" if span.microseconds else ""
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}:{seconds:02}{fraction}"


WAYS: Mapping[type, Callable[[Any], str]] = {
    str: str,
    int: str,
    float: repr,
    bool: lambda value: str(value).lower(),
    Decimal: lambda value: f"{value:f}",
    datetime: datetime.isoformat,
    date: date.isoformat,
    time: time.isoformat,
    timedelta: clock,
    list: as_json,
    dict: as_json,
}
"""How values are written, by their classes; all others by their `str`."""


# --- places ---------------------------------------------------------------------------------------

Tagged = list[str | None]


def tagged(value: Any) -> Tagged:
    """Return a value as JSON can keep it: what it is, and its text."""
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    name = type(value).__name__ if type(value) in (int, float, bool, Decimal) else "text"
    return ["null", None] if value is None else [name, text_of(value)]


def untagged(pair: Tagged) -> Any:
    """Return the value that `tagged` kept. Raises ValueError, KeyError or TypeError for others."""
    kind, text = pair
    return None if kind == "null" else BACK[str(kind)](str(text))


BACK: Mapping[str, Callable[[str], Any]] = {
    "text": str,
    "int": int,
    "float": float,
    "bool": lambda text: text == "true",
    "Decimal": Decimal,
    "bytes": bytes.fromhex,
}
