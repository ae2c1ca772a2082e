"""Any expression over any records: compiled to columns, it gives the cells of the exact path.

A case is some expressions and a batch of records, drawn by Hypothesis (`columnar_cases`), and tried
twice: the cells' columns over the records that columns hold, and the value that each expression
finds there; and all of the records, as bytes, by what reads a batch. Bugs put into the compiled
path on purpose (`columnar_bugs`) show that the law finds them.

CRMMAP_LAW_EXAMPLES says how many answers are compared: one is an expression's, for a whole batch.
Many take longer than a test may: `pytest --timeout=0`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis.internal.conjecture.engine import ConjectureRunner

from both_paths import Compared, compared, fits
from columnar_bugs import BUGS
from columnar_cases import Case, cases
from crmmap.kinds.types import Number
from crmmap.select.columnar import dtype_of, touched
from crmmap.select.compiled import CompiledSelector, Selected, select_pages
from crmmap.select.raw_records import raw_records
from crmmap.select.strict import read_json
from crmmap.values import INDEX, Page

EXAMPLES = int(os.environ.get("CRMMAP_LAW_EXAMPLES", "4000"))
ANSWERS = 16
"""At least so many of a case, on an average."""
law = settings(
    max_examples=EXAMPLES // ANSWERS, deadline=None, report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each case drawn anew.

    Hypothesis tries each up to five times more with parts of it repeated: near copies, in which
    bugs that were put in lived through hundreds of cases. What fails shrinks as ever.
    """
    monkeypatch.setattr(ConjectureRunner, "generate_mutations_from", lambda *_: None)


def test_both_paths_find_the_same() -> None:
    counted: Counter[str] = Counter()

    @law
    @given(cases())
    def holds(case: Case) -> None:
        counted.update(alike(case))
        counted.update(alike_batches(case))

    holds()
    print(f"\n{EXAMPLES} asked for: {dict(counted)}")  # noqa: T201  (told by `pytest -s`)
    # A law that is asked nothing holds always.
    assert counted["compared"] > EXAMPLES
    assert counted["found"] > EXAMPLES / 5
    assert counted["broke"] > EXAMPLES / 5
    assert counted["unsure"] < counted["compared"] / 15
    assert counted["compiled"] > counted["records"] / 3


def alike(case: Case) -> Counter[str]:
    """Demand that both paths find the same in the records that columns hold; count the answers."""
    counted = Counter[str]()
    records: list[Any] = [read_json(each) for each in case.records]
    dtype = dtype_of(touched(case.cells), records, {})
    fit = [each for each in records if fits(each, dtype)]
    names = [name for each in case.asked for name in (each, *each.texts)]
    for name, answers in zip(names, compared(case.cells, fit, dtype), strict=True):
        if not isinstance(answers, Compared):
            counted[answers] += 1
            continue
        for at, ours, theirs in answers.differ:
            note(f"{name} of {fit[at]} is {ours} compiled, and {theirs} exactly")
        assert not answers.differ
        sure = [each for each in answers.compiled if each is not None]
        counted["compared"] += 1
        counted["unsure"] += len(sure) < len(fit)
        counted["found"] += any(found is not None for found, _ in sure)
        counted["broke"] += any(rule is not None for _, rule in sure)
    return counted


# --- batches of bytes -----------------------------------------------------------------------------


def alike_batches(case: Case) -> Counter[str]:
    """Demand that a batch holds the same, be it compiled where that can be or decoded whole."""
    selected = [_selected(case, worth) for worth in (1, len(case.records) + 1)]
    ours, theirs = (_told(case, each) for each in selected)
    for at in ours.keys() | theirs.keys():
        if ours.get(at) != theirs.get(at):
            note(f"{case.records[at]} is {ours.get(at)} compiled, and {theirs.get(at)} exactly")
    assert ours == theirs
    return Counter(records=len(case.records), compiled=selected[0].compiled)


def _selected(case: Case, worth: int) -> Selected:
    numbers = {f"f{at}": pl.Float64() for at, each in enumerate(case.asked) if each.as_number}
    selector = CompiledSelector(cells=case.cells, dtypes=numbers, worth=worth)
    sent = raw_records([each.encode() for each in case.records])
    return select_pages(selector, [Page(number=1, records=sent)])


def _told(case: Case, selected: Selected) -> dict[int, dict[str, object]]:
    """Return what each record holds, by the record's index; null is as good as none."""
    (page,) = selected.pages
    told: dict[int, dict[str, object]] = {-1: {"refused": page.refused}}
    for frame in selected.frames:
        number = Number()
        read = [
            number.read(pl.col(f"f{at}")) for at, each in enumerate(case.asked)
            if each.as_number and frame[f"f{at}"].dtype == pl.String
        ]  # fmt: skip
        for row in frame.with_columns(read).to_dicts():
            told[row[INDEX]] = {name: each for name, each in row.items() if each is not None}
    return told


# --- bugs put in on purpose -----------------------------------------------------------------------


@pytest.mark.parametrize("bug", BUGS, ids=lambda each: each.__name__)
def test_a_bug_is_found(bug: Callable[[pytest.MonkeyPatch], None]) -> None:
    hunt = settings(law, max_examples=600, database=None, derandomize=True, phases=[Phase.generate])

    @hunt
    @given(cases())
    def holds(case: Case) -> None:
        alike(case)

    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        with pytest.raises(AssertionError):
            holds()
