"""Whether a read can meet all that its source has: only then is gone what it does not meet."""

from __future__ import annotations

from crmmap.kinds.incremental import Incremental
from crmmap.loop.cursors import Cursors
from crmmap.loop.work import Work
from crmmap.plan import Step


def gap_of(work: Work, step: Step, cursors: Cursors) -> str:
    """Return why a read that is asked for so can't meet all, in words; empty where it can.

    What it then leaves out on its way is told by its pages.
    """
    if work.options.apart:
        return "it was of records that had been kept"
    if work.options.limit is not None:
        return "it was limited to some records"
    if step.parts.changed and cursors.before is not None and not work.options.fresh:
        return "it asked only for rows of its parent that had changed"
    how = step.incremental
    if how is None or not _narrows(step, how):
        return ""
    if how.start is not None:
        return "it begins at the `start` of `incremental`"
    return "it asked only for what had changed" if cursors.since else ""


def _narrows(step: Step, how: Incremental) -> bool:
    """Say whether a cursor changes what is asked for: without `params`, all is read each time."""
    asked = bool(how.params) or step.changes is not None or step.query is not None
    return asked or how.start is not None
