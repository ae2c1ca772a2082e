"""Bugs put into the compiled path on purpose, to see that its law finds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from crmmap.select import (
    columnar,
    vector_functions,
    vector_lists,
    vector_logic,
    vector_nodes,
    vectors,
)
from crmmap.select.vectors import (
    NONE,
    Column,
    Trouble,
    Value,
    column,
    is_list,
    is_text,
    present,
)


def truth_of(patch: pytest.MonkeyPatch, is_one: Callable[[Value], bool]) -> None:
    truth = vectors.truth

    def there(value: Value) -> Column:
        if isinstance(value, Column) and is_one(value):
            return column(present(value), pl.Boolean(), value.trouble)
        return truth(value)

    patch.setattr(vector_nodes, "truth", there)


def empty_text_is_true(patch: pytest.MonkeyPatch) -> None:
    truth_of(patch, is_text)


def empty_list_is_true(patch: pytest.MonkeyPatch) -> None:
    truth_of(patch, is_list)


def zero_is_false(patch: pytest.MonkeyPatch) -> None:
    truth = vectors.truth

    def nonzero(value: Value) -> Column:
        if vectors.is_whole(value):
            told = (value.expr != 0).fill_null(value=False)
            return column(told, pl.Boolean(), value.trouble)
        return truth(value)

    patch.setattr(vector_nodes, "truth", nonzero)


def filters_keep_nulls(patch: pytest.MonkeyPatch) -> None:
    projected = vector_lists.projected

    def kept(base: Value, make: Any, wanted: Any = None, *, nulls: bool = False) -> Value:
        return projected(base, make, wanted, nulls=nulls or wanted is not None)

    patch.setattr(vector_nodes, "projected", kept)


def an_index_from_the_end_is_one_off(patch: pytest.MonkeyPatch) -> None:
    item = vectors.item
    patch.setattr(vector_nodes, "item", lambda value, at: item(value, at - 1 if at < -1 else at))


def a_slice_forgets_its_step(patch: pytest.MonkeyPatch) -> None:
    sliced = vector_lists.sliced

    def plain(value: Value, part: slice) -> Value:
        step = part.step if part.step in (None, -1) else part.step // abs(part.step)
        return sliced(value, slice(part.start, part.stop, step))

    patch.setattr(vector_nodes, "sliced", plain)


def a_step_is_counted_from_the_first_item(patch: pytest.MonkeyPatch) -> None:
    counted = vector_lists._counted

    def from_first(items: pl.Expr, start: int | None, stop: int | None, step: int) -> pl.Expr:
        taken = counted(pl.int_range(pl.len().cast(pl.Int64)), start, stop, 1)
        return items.gather(taken.filter(taken % step == 0))

    patch.setattr(vector_lists, "_counted", from_first)


def or_takes_what_is_not_null(patch: pytest.MonkeyPatch) -> None:
    def coalesced(tree: Any, at: Value) -> Value:
        values = [vector_nodes.find(each, at) for each in vector_nodes._operands(tree)]
        trouble = sum((each.trouble for each in values), NONE)
        found = vector_lists.chosen([present(each) for each in values[:-1]], values)
        return vectors.troubled(found, trouble)

    patch.setitem(vector_nodes.NODES, "or_expression", coalesced)


def what_is_not_reached_fails(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Trouble, "where", lambda trouble, _: trouble)


def null_is_written_as_nothing(patch: pytest.MonkeyPatch) -> None:
    to_string, kinds = vector_functions.FUNCTIONS["to_string"]

    def written(value: Value) -> Value:
        made = to_string(value)
        assert isinstance(made, Column)
        return replace(made, expr=pl.when(present(value)).then(made.expr))

    patch.setitem(vector_functions.FUNCTIONS, "to_string", (written, kinds))


def lists_with_nulls_are_sorted(patch: pytest.MonkeyPatch) -> None:
    array = vector_functions._array

    def loose(value: Value, *dtypes: pl.DataType) -> tuple[Column, Trouble]:
        made, trouble = array(value, *dtypes)
        null = Trouble(fails=(made.expr.is_null(),))
        return made, null if is_list(value) and trouble is not vectors.ALWAYS else trouble

    patch.setattr(vector_functions, "_array", loose)


def lengths_are_bytes(patch: pytest.MonkeyPatch) -> None:
    length, kinds = vector_functions.FUNCTIONS["length"]

    def in_bytes(value: Value) -> Value:
        made = length(value)
        if not is_text(value):
            return made
        return replace(made, expr=value.expr.str.len_bytes().cast(pl.Int64))

    patch.setitem(vector_functions.FUNCTIONS, "length", (in_bytes, kinds))


def texts_that_python_reads_are_no_numbers(patch: pytest.MonkeyPatch) -> None:
    to_number, kinds = vector_functions.FUNCTIONS["to_number"]
    patch.setitem(
        vector_functions.FUNCTIONS, "to_number",
        (lambda value: replace(to_number(value), trouble=NONE), kinds),
    )  # fmt: skip


def the_last_of_equal_keys_is_first(patch: pytest.MonkeyPatch) -> None:
    by = vector_functions._by
    patch.setitem(
        vector_functions.FUNCTIONS, "max_by",
        (lambda array, key: vectors.item(by(array, key, descending=False), -1), "v&"),
    )  # fmt: skip


def an_object_of_unread_entries_is_empty(patch: pytest.MonkeyPatch) -> None:
    truth = vectors.truth

    def sure(value: Value) -> Column:
        found = truth(value)
        is_struct = isinstance(value, Column) and isinstance(value.dtype, pl.Struct)
        return replace(found, trouble=value.trouble) if is_struct else found

    patch.setattr(vector_nodes, "truth", sure)


def null_equals_nothing(patch: pytest.MonkeyPatch) -> None:
    equal = vector_logic.equal

    def never(left: Value, right: Value) -> Column:
        told = equal(left, right)
        return replace(told, expr=told.expr & present(left))

    patch.setattr(vector_nodes, "equal", never)


def fractions_are_cut(patch: pytest.MonkeyPatch) -> None:
    comparable = vector_logic._comparable

    def whole(*both: Any) -> Any:
        first, second, unsure = comparable(*both)
        return first.cast(pl.Int64, strict=False), second, unsure

    patch.setattr(vector_logic, "_comparable", whole)


def only_some_blanks_are_blank(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(columnar, "BLANKS", " \t\r\n")


BUGS = [
    each for name, each in list(globals().items())
    if callable(each) and getattr(each, "__module__", "") == __name__ and name != "truth_of"
]  # fmt: skip
