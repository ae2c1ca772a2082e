"""Cases that tell of a source, not only of records: of its pages, and of what it has later."""

from __future__ import annotations

from crmmap.errors import SourceError
from crmmap.extract.partitions import sample, with_given
from crmmap.prove.arrivals import pages_of_source
from crmmap.prove.cases import Case
from crmmap.prove.cursors import twice
from crmmap.prove.replay import Outcome, outcome_of, plan_of, replay
from crmmap.prove.sheets import bare_sheet, untriable
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.transform import apply


def reenact(mapping: MappingSpec, case: Case) -> Outcome:
    """Return what a case gives. Raises SourceError where its records can't be read."""
    if case.page is None and case.then is None:
        return replay(mapping, case)
    plan = plan_of(mapping, case.settings)
    step = plan.step(case.stream)
    given = case.given or ()
    if why := untriable(step):
        raise SourceError(why)
    context = {**sample(step), **case.for_each}
    sheet = bare_sheet(plan, step, context)
    if case.then is not None:
        return twice(plan, sheet, given, case.then)
    if step.request is None:
        message = "`page` is of a source that is asked for pages, and this one is a file"
        raise SourceError(message)
    pages = pages_of_source(plan, sheet, given, case.page or 1, context)
    pages = [with_given(page, sheet.given) for page in pages] if sheet.given else pages
    return outcome_of(step, apply(step, pages))
