"""The laws of whole runs: into a store, a second time, cut otherwise, in another order, resumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from crmmap.events import RunReport, StreamReport
from crmmap.kinds.writes import Deleting
from crmmap.plan import Plan, Step
from crmmap.plan.content import HASH, content_hashes
from crmmap.prove.cells import check_records
from crmmap.prove.exhibits import exhibit
from crmmap.prove.replay import outcome_of
from crmmap.prove.results import Finding, Proof
from crmmap.prove.sheets import Draft, Sheet
from crmmap.prove.source import Invented, alone, load, stored
from crmmap.prove.trying import Bounds, Broken, tried
from crmmap.transform import apply
from crmmap.values import INDEX, KEY

LAW = "runs add up, and a second, a resumed, and one otherwise cut or ordered give the same"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """What a source has, how long its pages are, and after which page a run is interrupted."""

    drafts: Mapping[str, Sequence[Draft]]
    size: int
    stop_after: int


def runs_agree(
    plan: Plan, sheets: Mapping[str, Sheet], step: Step, bounds: Bounds
) -> Iterator[Proof]:
    """Yield whether runs of a stream, and of the parents that it waits for, keep the laws."""
    from hypothesis import strategies as st

    from crmmap.prove.strategies import drafts

    names = [*_family(plan, step.name)]
    if missing := [name for name in names if name not in sheets]:
        why = f"its parent {missing[0]} can't be tried"
        yield Proof(law=LAW, stream=step.name, unproven=why)
        return
    examples = st.builds(
        Example,
        drafts=st.fixed_dictionaries(
            {name: st.lists(drafts(sheets[name]), max_size=5 if name == step.name else 3)
             for name in names}
        ),
        size=st.integers(1, 4),
        stop_after=st.integers(1, 4),
    )  # fmt: skip
    tries = _Tries(plan=plan, sheets=sheets, step=step, names=tuple(names))
    result = tried(examples, tries.check, bounds)
    yield Proof(
        law=LAW, stream=step.name, examples=result.examples, finding=result.finding,
        unproven="" if result.examples else "there was no time",
    )  # fmt: skip


def _family(plan: Plan, name: str) -> Iterator[str]:
    """Yield the streams that a stream waits for, and itself."""
    found: dict[str, None] = {}
    pending = [name]
    while pending:
        each = pending.pop()
        if each not in found:
            found[each] = None
            # One that is not read at all, because another stands for it, is not waited for; and one
            # that deletes parents makes none: invented, it would delete what is sent anew each run.
            pending += [one for one in plan.step(each).parents if _sends_rows(plan.step(one))]
    yield from (step.name for step in plan.steps if step.name in found)


def _sends_rows(step: Step) -> bool:
    return not step.absent and not isinstance(step.target.write, Deleting)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tries:
    """One stream's runs. Each check makes its stores anew."""

    plan: Plan
    sheets: Mapping[str, Sheet]
    step: Step
    names: tuple[str, ...]

    def check(self, example: Example) -> None:
        """Raise Broken where a law does not hold for an example."""
        sent = {
            name: unambiguous(self.sheets[name], self.sheets[name].records(each))
            for name, each in example.drafts.items()
        }
        with TemporaryDirectory(prefix="crmmap-proof-") as name:
            self._check(sent, example, Path(name))

    def _check(self, sent: Mapping[str, list[Any]], example: Example, folder: Path) -> None:
        first: dict[str, str] = {}
        reader = self._reader(sent, example.size, first)
        straight = load(reader, folder / "straight", streams=self.names)
        self._demand_sound(straight, sent)
        before = self._tables(folder / "straight")
        again = load(reader, folder / "straight", streams=self.names)
        written = [each for each in again.streams if each.counts.inserted + each.counts.updated]
        self._demand(not written, sent, "a second run, with nothing changed, writes rows again")
        self._demand_same(before, folder / "straight", sent, "a second run changes the tables")
        other = {name: self._reordered(name, records) for name, records in sent.items()}
        cut = self._reader(other, example.size % 3 + 1, first)
        load(cut, folder / "cut", streams=self.names, batch=1)
        self._demand_same(
            before, folder / "cut", sent, "other pages, in the other order, give other tables"
        )
        halted = replace(self._reader(sent, example.size, first), pages_left=example.stop_after)
        load(halted, folder / "resumed", streams=self.names, batch=1)
        resumed = self._reader(sent, example.size, first)
        load(resumed, folder / "resumed", streams=self.names, batch=1)
        self._demand_same(before, folder / "resumed", sent, "a run that was resumed gives less")

    def _reordered(self, name: str, records: list[Any]) -> list[Any]:
        """Return the records from the last to the first, unless their order is to decide."""
        target = self.plan.step(name).target
        return records if target.first and target.same_by else records[::-1]

    def _reader(
        self, sent: Mapping[str, Sequence[Any]], size: int, first: dict[str, str]
    ) -> Invented:
        return Invented(plan=self.plan, sheets=self.sheets, sent=sent, size=size, first=first)

    def _tables(self, folder: Path) -> Mapping[str, object]:
        steps = [self.plan.step(name) for name in self.names]
        return {step.name: stored(folder, step.target) for step in steps}

    def _demand_sound(self, report: RunReport, sent: Mapping[str, list[Any]]) -> None:
        for each in report.streams:
            if each.status != "done":
                what = f"the run of {each.stream} {_failed(each)}"
                self._demand(False, sent, what)  # noqa: FBT003
        balanced = all(each.counts.balanced for each in report.streams)
        self._demand(balanced, sent, "the accounting of a run does not balance")

    def _demand_same(
        self, before: Mapping[str, object], folder: Path, sent: Mapping[str, list[Any]], what: str
    ) -> None:
        after = self._tables(folder)
        other = [name for name in self.names if before[name] != after[name]]
        told = f"{what} ({', '.join(self.plan.step(name).target.table for name in other)})"
        self._demand(not other, sent, told)

    def _demand(self, kept: bool, sent: Mapping[str, list[Any]], what: str) -> None:  # noqa: FBT001
        if kept:
            return
        sheet = self.sheets[self.step.name]
        records = sent[self.step.name]
        check_records(sheet, records)  # if they can't even be judged, that is the news
        found = outcome_of(sheet.step, apply(sheet.step, [sheet.page(records)]))
        lines = tuple(
            f"with {len(each)} of {name}" for name, each in sent.items() if name != self.step.name
        )
        case = exhibit(
            what.split(" (", maxsplit=1)[0], sheet, records, found.rows,
            rejects=[dict(each) for each in found.rejects],
            notes=[dict(each) for each in found.notes],
            duplicate=found.duplicate, filtered=found.filtered,
        )  # fmt: skip
        raise Broken(Finding(where=self.step.name, what=what, lines=lines, case=case))


def _failed(report: StreamReport) -> str:
    kind = type(report.error).__name__
    return f"ended as {report.status}: {report.message or kind}"


def unambiguous(sheet: Sheet, records: Sequence[Any]) -> list[Any]:
    """Return the records without those that contradict another: one key, one version, two contents.

    Which of them counts is decided by the order in which they come, and every run decides anew.
    """
    step = replace(alone(sheet.step), filters=())
    rows = apply(step, [sheet.page(records)]).rows
    rows = rows.with_columns(content_hashes(rows, step.target.columns))
    version, place = step.target.version, _places(sheet, records)
    seen: dict[tuple[object, object], object] = {}
    doubtful = {
        place[row[INDEX]]
        for row in rows.iter_rows(named=True)
        if seen.setdefault((row[KEY], row[version] if version else None), row[HASH]) != row[HASH]
    }
    return [each for at, each in enumerate(records) if at not in doubtful]


def _places(sheet: Sheet, records: Sequence[Any]) -> Sequence[int]:
    """Return where among what was sent each record of the page stands: some are none."""
    page = sheet.page(records)
    return list(range(len(records))) if page.lines is None else list(page.lines)
