"""Rejects tried again: their raw records, taken through the mapping as it is now.

That is a run like any other, of kind `retry`: with the lock, the order of streams, the lookups,
and batches that add up. `fetched` counts the records that were tried; they had been counted as
rejected by the run that refused them, whose accounts stay as they are.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from crmmap.events import Observe, Rehearsal, RunReport
from crmmap.extract.readers import Reader
from crmmap.load import Store
from crmmap.load.reject_queries import Which, find_rejects, raws_of
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


@dataclass(frozen=True, slots=True)
class Try:
    """A reject that is tried again: its id, and the run that refused it."""

    id: str
    run_id: str
    reasons: tuple[Reason, ...]


@dataclass(slots=True)
class Tries:
    """The rejects that are tried again, by stream, the oldest first.

    `untried` counts those that can't be, by why.
    """

    store: Store
    reader: Reader
    by_stream: dict[str, list[Try]] = field(default_factory=dict)
    untried: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, plan: Plan, store: Store, reader: Reader, which: Which) -> Tries:
        """Return the rejects that are meant."""
        tries = cls(store, reader)
        read = {step.name for step in plan.steps if not step.absent}
        found = store.ask(lambda session: list(find_rejects(session, which, oldest_first=True)))
        for each in found:
            if not each.id:
                tries.untried[NAMELESS] += 1
            elif any(map(_of_reading, each.reasons)):
                tries.untried[UNREAD] += 1
            elif each.stream not in read:
                tries.untried[NO_STREAM] += 1
            else:
                chosen = tries.by_stream.setdefault(each.stream, [])
                chosen.append(Try(each.id, each.run_id, each.reasons))
        return tries

    def kept(self, step: Step) -> Iterator[Kept]:
        """Yield the records of a stream's rejects: of one run together, a batch at a time."""
        tries = self.by_stream.get(step.name, [])
        for run_id, group in groupby(tries, key=lambda each: each.run_id):
            ids = [each.id for each in group]
            for start in range(0, len(ids), step.batch):
                whole = self._whole(step, ids[start : start + step.batch])
                if whole:
                    yield Kept(
                        run_id=run_id, raws=tuple(whole.values()), tried=tuple(whole),
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
    options = replace(options, kind="retry", streams=tuple(tries.by_stream))
    return run(plan, tries.store, again, options=options, stop=stop, observe=observe)


# --- as a rehearsal -------------------------------------------------------------------------------


def rehearse(plan: Plan, tries: Tries) -> Rehearsal:
    """Judge the rejects by the plan, and write nothing. Parents are looked up as they are now."""
    asked, passing, refused = (Counter[tuple[str, str, str]]() for _ in range(3))
    tried = passed = waiting = 0
    for step in plan.steps:
        before = {each.id: each.reasons for each in tries.by_stream.get(step.name, ())}
        for kept in tries.kept(step):
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
