"""Cases that tell of a source, not only of records: of its pages, and of what it has later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from crmmap.errors import SourceError
from crmmap.extract.partitions import sample, with_given
from crmmap.plan import Plan, Step
from crmmap.prove.arrivals import pages_of_source
from crmmap.prove.cases import Case
from crmmap.prove.cursors import twice
from crmmap.prove.replay import Outcome, outcome_of, pages_of, records_of, replay
from crmmap.prove.sheets import bare_sheet, untriable
from crmmap.transform import apply
from crmmap.values import GIVEN


def reenact(plan: Plan, case: Case) -> Outcome:
    """Return what a case gives. Raises SourceError where its records can't be read."""
    if case.page is None and case.then is None:
        return replay(plan, case)
    step = plan.step(case.stream)
    given = _had(plan, step, case, case.given or ())
    if why := untriable(step):
        raise SourceError(why)
    context = {**sample(step), **case.for_each}
    sheet = bare_sheet(plan, step, context)
    if case.then is not None:
        return twice(plan, sheet, given, _had(plan, step, case, case.then))
    if step.request is None:
        message = "`page` is of a source that is asked for pages, and this one is a file"
        raise SourceError(message)
    pages = pages_of_source(plan, sheet, given, case.page or 1, context)
    pages = [with_given(page, sheet.given) for page in pages] if sheet.given else pages
    return outcome_of(step, apply(step, pages))


def _had(plan: Plan, step: Step, case: Case, given: Sequence[Any]) -> list[Any]:
    """Return what a source has as its stream's records: made by the stream's shape, if it has one.

    A shape gives records that stand alone, so that pages can be cut anywhere.
    """
    if not step.shape:
        return records_of(step, given)
    (page,) = pages_of(plan, step, replace(case, given=given), Path())
    return [{name: each for name, each in dict(record).items() if name != GIVEN}
            for record in page.records if isinstance(record, dict)]  # fmt: skip
