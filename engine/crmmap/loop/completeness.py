"""Whether a read can meet all that its source has: only then is gone what it does not meet."""

from __future__ import annotations

from crmmap.load import Mark
from crmmap.loop.cursors import Cursors
from crmmap.loop.work import Work
from crmmap.plan import Step


def gap_of(work: Work, step: Step, cursors: Cursors) -> str:
    """Return why a read that is asked for so can't meet all, in words; empty where it can.

    What it then leaves out on its way is told by its pages.
    """
    if work.options.apart:
        return "what was kept was loaded, not what the source has"
    if work.options.limit is not None:
        return "it was limited to some records"
    return _parents_gap(work, step, cursors) or _cursor_gap(step, cursors)


def asks_for_all(work: Work, step: Step, cursors: Cursors, mark: Mark) -> bool:
    """Say whether a read asks for everything that the stream ever asks for."""
    options = work.options
    if options.apart or options.limit is not None:
        return False
    if step.parts.changed and cursors.before is not None and not options.fresh:
        return False
    if step.remembered and mark.cursor is not None and not options.fresh:
        return False
    return not cursors.since or not _asks_for_changes(step)


def _asks_for_changes(step: Step) -> bool:
    """Say whether a cursor changes what is asked: without any way to, all is read each time."""
    how = step.incremental
    return how is not None and (
        bool(how.params) or step.changes is not None or step.query is not None
    )


def _parents_gap(work: Work, step: Step, cursors: Cursors) -> str:
    if not step.parts.changed or step.target.per is not None:
        return ""
    some = cursors.before is not None and not work.options.fresh
    return "it asked only for rows of its parent that had changed" if some else ""


def _cursor_gap(step: Step, cursors: Cursors) -> str:
    how = step.incremental
    if how is None:
        return ""
    if how.start is not None:
        return "it begins at the `start` of `incremental`"
    some = _asks_for_changes(step) and cursors.since
    return "it asked only for what had changed" if some else ""
