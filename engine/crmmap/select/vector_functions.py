"""JMESPath's functions over columns, with the types that jmespath's own insist on.

An argument of another type makes the call fail, null as well; an expression argument (`&name`)
comes as what finds its value at an item.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import polars as pl

from crmmap.select.sight import Outside
from crmmap.select.vector_lists import (
    as_list,
    chosen,
    inner_of,
    listed,
    projected,
    values_of,
    whole,
)
from crmmap.select.vector_logic import counted, equal
from crmmap.select.vectors import (
    ALWAYS,
    NONE,
    Column,
    Parts,
    Record,
    Trouble,
    Value,
    column,
    is_boolean,
    is_fraction,
    is_list,
    is_nothing,
    is_object,
    is_text,
    is_whole,
    item,
    nothing,
    present,
    troubled,
)

Find = Callable[[Value], Value]
Argument = Value | Find


def called(name: str, arguments: Sequence[Argument]) -> Value:
    """Return what the function gives, with the trouble of its arguments. Raises Outside."""
    values = [each for each in arguments if not callable(each)]
    trouble = sum((each.trouble for each in values), NONE)
    own = [each if callable(each) else replace(each, trouble=NONE) for each in arguments]
    if name not in FUNCTIONS:
        message = f"calls {name}()"
        raise Outside(message)
    make, kinds = FUNCTIONS[name]
    if not _takes(kinds, own):
        message = f"calls {name}() with other arguments than it takes"
        raise Outside(message)
    return troubled(make(*own), trouble)


def _takes(kinds: str, arguments: Sequence[Argument]) -> bool:
    """Say whether the arguments are as many as `kinds` says, and expressions where it says `&`."""
    given = "".join("&" if callable(each) else "v" for each in arguments)
    return given == kinds or (kinds == "v*" and {*given} == {"v"})


def _failing() -> Value:
    return nothing(ALWAYS)


def _unless_null(made: Column, *arguments: Value) -> Column:
    """Return the column, failing where an argument is null."""
    fails = Trouble(fails=tuple(~present(each) for each in arguments))
    return replace(made, trouble=made.trouble + fails)


# --- texts ----------------------------------------------------------------------------------------


def _starts_with(text: Value, start: Value) -> Value:
    return _asked(text, start, lambda one, other: one.str.starts_with(other))


def _ends_with(text: Value, end: Value) -> Value:
    return _asked(text, end, lambda one, other: one.str.ends_with(other))


def _asked(text: Value, part: Value, ask: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> Value:
    if not isinstance(text, Column) or not isinstance(part, Column):
        return _failing()
    if not is_text(text) or not is_text(part):
        return _failing()
    return _unless_null(column(ask(text.expr, part.expr), pl.Boolean()), text, part)


def _contains(subject: Value, search: Value) -> Value:
    if is_text(subject):
        return _asked(subject, search, lambda one, other: one.str.contains(other, literal=True))
    if not is_list(subject):
        return _failing()
    if isinstance(subject, Parts):
        told = [equal(part, search, loosely=True) for part in subject.parts]
        trouble = sum((each.trouble for each in told), NONE)
        found = pl.any_horizontal(each.expr for each in told) if told else pl.lit(value=False)
        return _unless_null(column(found, pl.Boolean(), trouble), subject)
    return _unless_null(column(_holds(whole(subject), search), pl.Boolean()), subject)


def _holds(listing: Column, search: Value) -> pl.Expr:
    """Say where a list holds a value, by Python's `in`."""
    of = column(pl.element(), inner_of(listing.dtype))
    null = listing.expr.list.eval(pl.element().is_null()).list.any()
    if is_nothing(search):
        return null
    if is_fraction(of) or is_fraction(search):
        message = "looks for a fraction"
        raise Outside(message)
    if (is_list(of) and is_list(search)) or (is_object(of) and is_object(search)):
        message = "looks for a list or an object"
        raise Outside(message)
    if isinstance(search, Column) and search.dtype == of.dtype:
        return listing.expr.list.contains(search.expr, nulls_equal=True)
    if isinstance(search, Column) and counted(of) and counted(search):
        numbers = listing.expr.cast(pl.List(pl.Int64))
        return numbers.list.contains(search.expr.cast(pl.Int64), nulls_equal=True)
    return null & ~present(search)


def _join(separator: Value, array: Value) -> Value:
    if not isinstance(separator, Column) or not is_text(separator):
        return _failing()
    texts, trouble = _array(array, pl.String())
    # A list that is written in the expression would be joined for one record only.
    several = pl.when(present(separator)).then(texts.expr)
    joined = several.list.join(separator.expr, ignore_nulls=True)
    return _unless_null(column(joined, pl.String(), trouble), separator)


def _to_string(value: Value) -> Value:
    if is_text(value):
        written = whole(value).expr
    elif is_whole(value) or is_boolean(value):
        written = whole(value).expr.cast(pl.String)
    elif is_nothing(value):
        written = pl.lit(None, dtype=pl.String)
    else:
        message = "writes a fraction, a list or an object as a text"
        raise Outside(message)
    return column(written.fill_null("null"), pl.String())


def _to_number(value: Value) -> Value:
    if is_whole(value):
        return value
    if is_fraction(value):
        message = "cuts a fraction"
        raise Outside(message)
    if not isinstance(value, Column) or not is_text(value):
        return nothing()
    text = value.expr
    whole_number = text.str.contains("^[+-]?[0-9]{1,18}$")
    # Of letters, Python reads those of `e`, `nan` and `infinity` only.
    none = (text == "") | text.str.contains("[b-dg-hj-mo-su-xzB-DG-HJ-MO-SU-XZ/:@,]")
    read = pl.when(whole_number).then(text).cast(pl.Int64)
    return column(read, pl.Int64(), Trouble(unsure=(~(whole_number | none),)))


# --- numbers --------------------------------------------------------------------------------------

LEAST = -(2**63)


def _abs(value: Value) -> Value:
    made = _rounded(value)
    if not isinstance(made, Column) or not is_whole(made):
        return made
    least = Trouble(unsure=(made.expr == LEAST,))
    sound = pl.when(made.expr != LEAST).then(made.expr)
    return replace(made, expr=sound.abs(), trouble=made.trouble + least)


def _rounded(value: Value) -> Value:
    """Return a whole number, which is its own floor and ceiling."""
    if is_fraction(value):
        message = "rounds a fraction"
        raise Outside(message)
    if not isinstance(value, Column) or not is_whole(value):
        return _failing()
    return _unless_null(value, value)


def _sum(array: Value) -> Value:
    numbers, trouble = _array(array, pl.Int64())
    total = numbers.expr.cast(pl.List(pl.Int128)).list.sum()
    held = total.cast(pl.Int64, strict=False)
    return column(held, pl.Int64(), trouble + Trouble(unsure=(held.is_null(),)))


# --- lists ----------------------------------------------------------------------------------------


def _array(value: Value, *dtypes: pl.DataType) -> tuple[Column, Trouble]:
    """Return a list with items of one of the dtypes, and where the value is no such list.

    An empty list is one of any dtype.
    """
    empty = listed((), dtypes[0])
    if not is_list(value):
        return empty, ALWAYS
    kinds = _item_dtypes(value)
    if pl.Int64() in dtypes and any(each.is_float() or each.is_decimal() for each in kinds):
        message = "reckons with fractions"
        raise Outside(message)
    if isinstance(value, Parts):
        if value.parts and (len(kinds) > 1 or not kinds <= {*dtypes}):
            return empty, ALWAYS
        made = whole(value, empty.dtype)
    else:
        made = whole(value)
        if not kinds <= {*dtypes}:
            return empty, Trouble(fails=((made.expr.list.len() > 0).fill_null(value=True),))
    null = made.expr.list.eval(pl.element().is_null()).list.any()
    return replace(made, trouble=NONE), Trouble(fails=(null.fill_null(value=True),))


def _item_dtypes(value: Value) -> set[pl.DataType]:
    if isinstance(value, Parts):
        return {each.dtype if isinstance(each, Column) else pl.Null() for each in value.parts}
    inner = None if isinstance(value, Record) else inner_of(value.dtype)
    return set() if inner is None else {inner}


def _sort(array: Value) -> Value:
    made, trouble = _array(array, pl.String(), pl.Int64())
    return column(made.expr.list.sort(), made.dtype, trouble)


def _max(array: Value) -> Value:
    made, trouble = _array(array, pl.String(), pl.Int64())
    return column(made.expr.list.max(), inner_of(made.dtype), trouble)


def _min(array: Value) -> Value:
    made, trouble = _array(array, pl.String(), pl.Int64())
    return column(made.expr.list.min(), inner_of(made.dtype), trouble)


def _length(value: Value) -> Value:
    if isinstance(value, Parts):
        count = len({*value.names} if value.names is not None else value.parts)
        return _unless_null(column(pl.lit(count, dtype=pl.Int64), pl.Int64()), value)
    if is_object(value):
        message = "counts the entries of an object"
        raise Outside(message)
    if not is_text(value) and not is_list(value):
        return _failing()
    expr = whole(value).expr
    size = expr.str.len_chars() if is_text(value) else expr.list.len()
    return _unless_null(column(size.cast(pl.Int64), pl.Int64()), value)


def _reverse(value: Value) -> Value:
    if isinstance(value, Parts) and value.names is None:
        missing = Trouble(fails=(~present(value),))
        return troubled(replace(value, parts=value.parts[::-1]), missing)
    if is_list(value):
        made = whole(value)
        return _unless_null(replace(made, expr=made.expr.list.reverse()), value)
    if not is_text(value):
        return _failing()
    text = whole(value).expr
    # polars turns signs round that Python takes for several.
    plain = text.str.len_bytes() == text.str.len_chars()
    made = column(text.str.reverse(), pl.String(), Trouble(unsure=(~plain,)))
    return _unless_null(made, value)


def _to_array(value: Value) -> Value:
    return as_list(value)


def _map(make: Find, array: Value) -> Value:
    if not is_list(array):
        return _failing()
    return troubled(projected(array, make, nulls=True), Trouble(fails=(~present(array),)))


def _sort_by(array: Value, key: Find) -> Value:
    return _by(array, key, descending=False)


def _min_by(array: Value, key: Find) -> Value:
    return item(_by(array, key, descending=False), 0)


def _max_by(array: Value, key: Find) -> Value:
    return item(_by(array, key, descending=True), 0)


def _by(array: Value, key: Find, *, descending: bool) -> Value:
    """Return the list in the order of its items' keys: of equal ones, the first remains first."""
    if not is_list(array):
        return _failing()
    made = whole(array)
    found = key(column(pl.element(), inner_of(made.dtype)))
    if is_fraction(found):
        message = "sorts by a fraction"
        raise Outside(message)
    if not isinstance(found, Column) or not (is_text(found) or is_whole(found)):
        return troubled(made, Trouble(fails=((made.expr.list.len() > 0).fill_null(value=True),)))
    # A key that is written in the expression stands for every item.
    keys = pl.when(pl.element().is_null()).then(found.expr).otherwise(found.expr)
    ordered = pl.element().sort_by(keys, descending=descending, maintain_order=True)
    unfit = found.trouble + Trouble(fails=(keys.is_null(),))
    trouble = unfit.within(made.expr) + Trouble(fails=(made.expr.is_null(),))
    return column(made.expr.list.eval(ordered), made.dtype, trouble)


# --- any kind -------------------------------------------------------------------------------------


def _not_null(*values: Value) -> Value:
    return chosen([present(each) for each in values], values)


def _type(value: Value) -> Value:
    if is_fraction(value):
        message = "asks for the type of a fraction"
        raise Outside(message)
    kinds: dict[str, Callable[[Value], bool]] = {
        "string": is_text, "boolean": is_boolean, "array": is_list, "object": is_object,
        "number": is_whole, "null": is_nothing,
    }  # fmt: skip
    kind = next(name for name, is_one in kinds.items() if is_one(value))
    told = pl.when(present(value)).then(pl.lit(kind)).otherwise(pl.lit("null"))
    return column(told, pl.String())


# --- objects that the expression makes ------------------------------------------------------------


def _keys(value: Value) -> Value:
    made = _object(value)
    if made is None:
        return _failing()
    names = dict.fromkeys(made.names or ())
    parts = tuple(column(pl.lit(name), pl.String()) for name in names)
    return Parts(parts=parts, there=made.there, trouble=Trouble(fails=(~present(made),)))


def _values(value: Value) -> Value:
    made = _object(value)
    if made is None:
        return _failing()
    return troubled(values_of(made), Trouble(fails=(~present(made),)))


def _merge(*values: Value) -> Value:
    made = [_object(each) for each in values]
    if any(each is None for each in made):
        return _failing()
    objects = [each for each in made if each is not None]
    return Parts(
        parts=tuple(part for each in objects for part in each.parts),
        names=tuple(name for each in objects for name in each.names or ()),
        trouble=Trouble(fails=tuple(~present(each) for each in objects)),
    )


def _object(value: Value) -> Parts | None:
    """Return an object that the expression has made; None for what is no object."""
    if not is_object(value):
        return None
    if not isinstance(value, Parts):
        message = "reads all entries of an object"
        raise Outside(message)
    return value


FUNCTIONS: dict[str, tuple[Callable[..., Value], str]] = {
    "abs": (_abs, "v"), "ceil": (_rounded, "v"), "contains": (_contains, "vv"),
    "ends_with": (_ends_with, "vv"), "floor": (_rounded, "v"), "join": (_join, "vv"),
    "keys": (_keys, "v"), "length": (_length, "v"), "map": (_map, "&v"), "max": (_max, "v"),
    "max_by": (_max_by, "v&"), "merge": (_merge, "v*"), "min": (_min, "v"),
    "min_by": (_min_by, "v&"), "not_null": (_not_null, "v*"), "reverse": (_reverse, "v"),
    "sort": (_sort, "v"), "sort_by": (_sort_by, "v&"), "starts_with": (_starts_with, "vv"),
    "sum": (_sum, "v"), "to_array": (_to_array, "v"), "to_number": (_to_number, "v"),
    "to_string": (_to_string, "v"), "type": (_type, "v"), "values": (_values, "v"),
}  # fmt: skip
"""Each with what it takes: values (`v`), expressions (`&`), any number of values (`v*`)."""
