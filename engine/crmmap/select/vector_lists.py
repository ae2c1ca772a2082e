"""Lists of columns' values: made of several, projected, sliced, flattened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import polars as pl

from crmmap.select.sight import Outside
from crmmap.select.vectors import (
    LAST,
    NONE,
    Column,
    Parts,
    Record,
    Value,
    as_instance,
    column,
    is_list,
    is_nothing,
    masked,
    nothing,
    troubled,
)

# --- several values in one ------------------------------------------------------------------------


def chosen(conditions: Sequence[pl.Expr], values: Sequence[Value]) -> Column:
    """Return the first value whose condition holds, else the one that has none, with no trouble."""
    made, dtype = alike(values)
    expr = made[len(conditions)] if len(made) > len(conditions) else pl.lit(None)
    for condition, value in reversed([*zip(conditions, made, strict=False)]):
        expr = pl.when(condition).then(value).otherwise(expr)
    return column(expr, dtype)


def alike(values: Sequence[Value]) -> tuple[list[pl.Expr], pl.DataType]:
    """Return the values as expressions of one dtype, or of Null if all are. Raises Outside."""
    made = [None if _untyped(each) else whole(each) for each in values]
    dtypes = {each.dtype for each in made if each is not None} - {pl.Null()}
    if None in made:
        dtypes = dtypes or {pl.List(pl.String())}
    dtype = dtypes.pop() if dtypes else pl.Null()
    if dtypes or (None in made and not isinstance(dtype, pl.List)):
        message = "gives values of several kinds"
        raise Outside(message)
    columns = [
        whole(value, dtype) if each is None else each
        for value, each in zip(values, made, strict=True)
    ]
    return [each.expr for each in columns], dtype


def _untyped(value: Value) -> bool:
    return isinstance(value, Parts) and not value.parts and value.names is None


def whole(value: Value, wanted: pl.DataType | None = None) -> Column:
    """Return the value as one column; an empty list takes the dtype that is wanted."""
    if isinstance(value, Column):
        return value
    if isinstance(value, Record):
        message = "takes the whole record"
        raise Outside(message)
    if value.names is None:
        made = listed(value.parts, inner_of(wanted) if _untyped(value) else None)
    else:
        named = {name: whole(part) for name, part in zip(value.names, value.parts, strict=True)}
        if not named:
            message = "makes an empty object"
            raise Outside(message)
        made = column(
            pl.struct(each.expr.alias(name) for name, each in named.items()),
            pl.Struct({name: each.dtype for name, each in named.items()}),
        )
    masking = masked(made, value.there)
    assert isinstance(masking, Column)  # noqa: S101  (a column's)
    return replace(masking, trouble=value.trouble)


def inner_of(dtype: pl.DataType | None) -> pl.DataType | None:
    """Return the dtype of a list's items."""
    return as_instance(dtype.inner) if isinstance(dtype, pl.List) else None


def listed(values: Sequence[Value], inner: pl.DataType | None = None) -> Column:
    """Return the list of the values, nulls included, without their trouble."""
    exprs, dtype = alike(values)
    if dtype == pl.Null():
        dtype = inner or pl.String()
    if not exprs:
        return column(pl.lit([], dtype=pl.List(dtype)).first(), pl.List(dtype))
    typed = [
        pl.lit(None, dtype=dtype) if is_nothing(value) else expr
        for value, expr in zip(values, exprs, strict=True)
    ]
    made = pl.concat_list(typed)
    if isinstance(dtype, pl.List):
        # polars would string lists together, instead of making a list of them.
        boxes = pl.concat_list(pl.struct(each.alias("_")) for each in typed)
        made = boxes.list.eval(pl.element().struct.field("_"))
    # One list for all records, unlike one value for all, stands for one record only.
    return column(made.first() if all(map(_written, typed)) else made, pl.List(dtype))


def _written(expr: pl.Expr) -> bool:
    """Say whether an expression reads nothing of a record."""
    return not expr.meta.root_names() and "element()" not in str(expr)


def projected(
    base: Value,
    make: Callable[[Value], Value],
    wanted: Callable[[Value], Column] | None = None,
    *,
    nulls: bool = False,
) -> Value:
    """Return what is made of each item that is wanted; without nulls, but if they are."""
    if not is_list(base) or isinstance(base, Record):
        return nothing(base.trouble)
    if isinstance(base, Parts):
        return _projected_parts(base, make, wanted, nulls=nulls)
    of = column(pl.element(), inner_of(base.dtype))
    made, asked = make(of), wanted(of) if wanted is not None else None
    trouble = made.trouble
    found = whole(made)
    if asked is not None:
        trouble = asked.trouble + trouble.where(asked.expr)
        found = replace(found, expr=pl.when(asked.expr).then(found.expr))
    trouble = base.trouble + trouble.within(base.expr)
    if is_nothing(made):
        found = column(pl.lit(None, dtype=pl.String), pl.String())
    listing = base.expr.list.eval(found.expr)
    return column(
        listing if nulls else listing.list.drop_nulls(), pl.List(found.dtype), trouble
    )  # fmt: skip


def _projected_parts(
    base: Parts,
    make: Callable[[Value], Value],
    wanted: Callable[[Value], Column] | None,
    *,
    nulls: bool,
) -> Value:
    made, trouble = [], NONE
    for part in base.parts:
        value = make(part)
        if wanted is None:
            trouble += value.trouble
        else:
            asked = wanted(part)
            trouble += asked.trouble + value.trouble.where(asked.expr)
            value = masked(value, asked.expr)
        made.append(value)
    if base.there is not None:
        trouble = trouble.where(base.there)
    trouble = base.trouble + trouble
    if nulls or not made:
        return Parts(parts=tuple(made), there=base.there, trouble=trouble)
    dropped = listed(made)
    dropped = replace(dropped, expr=dropped.expr.list.drop_nulls())
    return troubled(masked(dropped, base.there), trouble)


def flattened(base: Value) -> Value:
    """Return a list with the items of those items that are lists in their stead."""
    if isinstance(base, Parts) and base.names is None:
        return _flattened_parts(base)
    if not isinstance(base, Column) or not isinstance(base.dtype, pl.List):
        return nothing(base.trouble)
    inner = inner_of(base.dtype)
    if not isinstance(inner, pl.List):
        return base
    return column(base.expr.list.eval(FLAT), inner, base.trouble)


FLAT = pl.element().explode(empty_as_null=False, keep_nulls=True)


def _flattened_parts(base: Parts) -> Value:
    """Return the parts in one list, and the items of those that are lists in their stead."""
    if not any(is_list(each) for each in base.parts):
        return base
    wrapped = [as_list(each) for each in base.parts]
    lists = listed(wrapped)
    flat = lists.expr.list.eval(FLAT)
    expr = flat if base.there is None else pl.when(base.there).then(flat)
    return column(expr, inner_of(lists.dtype), base.trouble)


def as_list(part: Value) -> Value:
    """Return a list, or the list of anything else."""
    single = Parts(parts=(part,))
    if not is_list(part):
        return single
    if isinstance(part, Parts) and part.there is None:
        return part
    made = whole(part)
    null = listed([nothing()], inner_of(made.dtype))
    return replace(made, expr=made.expr.fill_null(null.expr.cast(made.dtype)))


def values_of(made: Parts) -> Parts:
    """Return the values of an object that the expression has made, as a list."""
    entries = dict(zip(made.names or (), made.parts, strict=True))
    return replace(made, parts=tuple(entries.values()), names=None)


def sliced(value: Value, part: slice) -> Value:
    """Return the items of a list that Python's slice takes; null of anything else."""
    if part.step == 0:
        message = "has a slice of step 0"
        raise Outside(message)
    if isinstance(value, Parts) and value.names is None:
        return replace(value, parts=value.parts[part])
    if not isinstance(value, Column) or not isinstance(value.dtype, pl.List):
        return nothing(value.trouble)
    bounds = (part.start, part.stop, part.step)
    held = slice(*(None if each is None else max(-LAST, min(each, LAST)) for each in bounds))
    return column(value.expr.list.eval(_taken(held)), value.dtype, value.trouble)


def _taken(part: slice) -> pl.Expr:
    """Return those of a list's items, in the slice's order."""
    step = 1 if part.step is None else part.step
    if step < 0:
        # Of the list turned round, whose item -1 - i is the item i.
        start, stop = (None if end is None else -1 - end for end in (part.start, part.stop))
        return _counted(pl.element().reverse(), start, stop, -step)
    return _counted(pl.element(), part.start, part.stop, step)


def _counted(items: pl.Expr, start: int | None, stop: int | None, step: int) -> pl.Expr:
    size = pl.len().cast(pl.Int64)
    at = pl.int_range(size, dtype=pl.Int64)

    def place(end: int) -> pl.Expr:
        return pl.lit(end) if end >= 0 else pl.max_horizontal(size + end, pl.lit(0))

    first = pl.lit(0) if start is None else place(start)
    wanted = (at >= first) & ((at - first) % step == 0)
    return items.filter(wanted if stop is None else wanted & (at < place(stop)))
