"""What a mapping says of records that are the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from crmmap.declare import Limits, OneOrMany
from crmmap.spec.partitions import Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest:
    """Of several records that are the same, keep the one with the greatest value of a field."""

    latest: Annotated[str, "The field that tells versions apart; null is the oldest."]


DUPLICATES = "__duplicates"
"""Ends the name of the table that holds the records that lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dedupe:
    """Which of several records that are the same is kept; the others count as duplicates.

    Records are the same where they agree in the table's key, or in all fields of another rule of
    `by`; a rule with an empty field finds nothing. It does not matter whether they come in one
    page, in one run, or one of them is in the table already.

    `last`: the one read last. It needs the key alone: another rule would let rows change places in
    every run.

    `first`: the one read first. What is in the table stays as it is: nothing is ever updated.

    `{latest: FIELD}`: the one with the greatest value of the field, whatever the order of
    reading; an older version never overwrites a newer one. Of equal values within a run, a digest
    of the records decides. With other rules than the key, a record is a duplicate where any
    record that is the same by a rule is later, be that one kept or not. Those that lose are kept
    in a table beside, called like the table with `__duplicates`: a row comes back from there
    once the record that it lost against has changed and is no longer the same. A record that
    takes the place of a row with another key counts as updated.

    A run's report says how many were duplicates by which rule: by the first that applies, the
    table's key before all.
    """

    by: Annotated[
        tuple[Annotated[tuple[Name, ...], OneOrMany(), Limits(min_items=1)], ...], OneOrMany(),
        "Rules, each a field or a list of fields: `[[id], [email, phone]]`. The table's key is "
        "always one, also where it is not named.",
    ] = ()  # fmt: skip
    keep: Annotated[Literal["first", "last"] | Latest, "`first`, `last`, or `{latest: FIELD}`."] = (
        "last"
    )

    def beside(self, key: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """Return the rules that find more than the table's key does."""
        return tuple(dict.fromkeys(rule for rule in self.by if not set(key) <= set(rule)))
