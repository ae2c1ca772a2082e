"""Rejects tried again: their raw records, taken through the mapping as it is now.

That is a run like any other, of kind `retry`: with the lock, the order of streams, the lookups,
and batches that add up. `fetched` counts the records that were tried; they had been counted as
rejected by the run that refused them, whose accounts stay as they are.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from crmmap.events import Observe, Rehearsal, RunReport
from crmmap.extract.readers import Reader
from crmmap.load import Store
from crmmap.load.reject_queries import Reject, Which, find_rejects, in_stretches, raws_of
from crmmap.load.statements import Session
from crmmap.loop.again import Again, Kept
from crmmap.loop.run import run
from crmmap.loop.work import Options
from crmmap.plan import Plan, Step
from crmmap.transform import apply, resolve
from crmmap.values import Reason, is_cut

CUT = "only the beginning of the record was kept"
UNREAD = "what was refused is no record, or misses what was to be asked for beside it"
NAMELESS = "an earlier version of crmmap refused it, and gave it no id"
NO_STREAM = "the mapping has no such stream, or it is not to be read"
OF_WHOLE_RECORDS = ("record.failed",)
"""Rules that judge a record that could be read, and none of its fields."""


@dataclass(slots=True)
class Tries:
    """The rejects that are tried again, as the store has them: none are kept in memory.

    `streams` are those that have any, and `untried` counts the others, by why.
    """

    store: Store
    reader: Reader
    which: Which
    streams: tuple[str, ...] = ()
    untried: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, plan: Plan, store: Store, reader: Reader, which: Which) -> Tries:
        """Return the rejects that are meant."""
        read = {step.name for step in plan.steps if not step.absent}

        def look(session: Session) -> tuple[dict[str, None], Counter[str]]:
            streams: dict[str, None] = {}
            untried = Counter[str]()
            for each in find_rejects(session, which, oldest_first=True):
                why = _why_not(each, read)
                if why is None:
                    streams[each.stream] = None
                else:
                    untried[why] += 1
            return streams, untried

        streams, untried = store.ask(look)
        return cls(store, reader, which, tuple(streams), untried)

    def kept(self, step: Step) -> Iterator[Kept]:
        """Yield the records of a stream's rejects: of one run together, a batch at a time."""
        for some in self.batches(step):
            if kept := self.kept_of(step, some):
                yield kept

    def batches(self, step: Step) -> Iterator[Sequence[Reject]]:
        """Yield a stream's rejects, the oldest first: of one run together, a batch at a time."""
        if step.name not in self.streams:
            return
        which = replace(self.which, streams=[step.name])
        for stretch in in_stretches(self.store.ask, which):
            tried = [each for each in stretch if _why_not(each, self.streams) is None]
            for _, group in groupby(tried, key=lambda each: each.run_id):
                some = [*group]
                for start in range(0, len(some), step.batch):
                    yield some[start : start + step.batch]

    def kept_of(self, step: Step, some: Sequence[Reject]) -> Kept | None:
        """Return the records of rejects of one run; None where none of them can be read."""
        whole = self._whole(step, [each.id for each in some])
        if not whole:
            return None
        return Kept(
            run_id=some[0].run_id, raws=tuple(whole.values()), tried=tuple(whole),
            places=range(len(whole)),
        )  # fmt: skip

    def _whole(self, step: Step, ids: Sequence[str]) -> Mapping[str, str]:
        """Return the raw records that can be read, by the ids of the rejects."""
        raws = self.store.ask(lambda session: raws_of(session, ids))
        # One that is not among them was dropped meanwhile.
        return {each: raws[each] for each in ids if each in raws and self._fit(step, raws[each])}

    def _fit(self, step: Step, raw: str) -> bool:
        if is_cut(raw):
            self.untried[CUT] += 1
            return False
        try:
            self.reader.parse(step, [raw])
        except (ValueError, TypeError, AttributeError, RecursionError):
            self.untried[UNREAD] += 1
            return False
        return True


def _why_not(reject: Reject, streams: Collection[str]) -> str | None:
    """Return why a reject can't be tried again, as far as its record need not be known for that."""
    if not reject.id:
        return NAMELESS
    if any(map(_of_reading, reject.reasons)):
        return UNREAD
    return None if reject.stream in streams else NO_STREAM


def _of_reading(reason: Reason) -> bool:
    whole = reason.rule.startswith("store.") or reason.rule in OF_WHOLE_RECORDS
    return reason.field is None and not whole


# --- for good -------------------------------------------------------------------------------------


def retry(
    plan: Plan,
    tries: Tries,
    *,
    options: Options,
    stop: threading.Event,
    observe: Observe = lambda _: None,
    force: bool = False,
) -> RunReport:
    """Take the rejects through the plan again, into the store, and report as of a run.

    A row that a later run has written is left as it is, unless `force`, where no versions decide.
    Raises StoreLocked where a run of the mapping is under way.
    """
    again = Again(
        reader=tries.reader,
        kept=tries.kept,
        runs=() if force else tries.store.runs(plan.mapping),
        absences={step.name: step.absent for step in plan.steps if step.absent},
        found=tries.reader.fields,
    )
    options = replace(options, kind="retry", streams=tries.streams)
    return run(plan, tries.store, again, options=options, stop=stop, observe=observe)


# --- as a rehearsal -------------------------------------------------------------------------------


def rehearse(plan: Plan, tries: Tries) -> Rehearsal:
    """Judge the rejects by the plan, and write nothing. Parents are looked up as they are now."""
    asked, passing, refused = (Counter[tuple[str, str, str]]() for _ in range(3))
    tried = passed = waiting = 0
    for step in plan.steps:
        for some in tries.batches(step):
            kept = tries.kept_of(step, some)
            if kept is None:
                continue
            before = {each.id: each.reasons for each in some}
            failed, held = _judged(tries, step, kept)
            for at, each in enumerate(kept.tried):
                rules = {(step.name, *_rule(reason)) for reason in before[each]}
                asked.update(rules)
                passing.update(rules if at not in failed else ())
            refused.update((step.name, *rule) for rules in failed.values() for rule in rules)
            tried += len(kept.tried)
            passed += len(kept.tried) - len(failed)
            waiting += held
    by_rule = {rule: (count, passing[rule]) for rule, count in asked.most_common()}
    return Rehearsal(
        tried=tried, passing=passed, waiting=waiting, by_rule=by_rule, refused=refused
    )  # fmt: skip


def _judged(tries: Tries, step: Step, kept: Kept) -> tuple[dict[int, set[tuple[str, str]]], int]:
    """Return why records would be refused, by their places, and how many would wait."""
    page = replace(tries.reader.parse(step, list(kept.raws)), lines=kept.places)
    batch = apply(step, [page])
    resolved = resolve(step, batch, tries.store.known)
    refused = [*batch.rejects.iter_rows(named=True), *resolved.rejects.iter_rows(named=True)]
    rules = {
        each["at"]: {_told(reason) for reason in json.loads(each["reasons"])} for each in refused
    }
    return rules, len(resolved.waiting)


def _told(reason: Mapping[str, str | None]) -> tuple[str, str]:
    return (reason["field"] or "", reason["rule"] or "")


def _rule(reason: Reason) -> tuple[str, str]:
    return (reason.field or "", reason.rule)
