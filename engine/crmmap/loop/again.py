"""Records that were kept, given to the loop in place of a source that sends them.

So loading them again is a run like any other: with its order of streams, its lookups, its batches,
accounts and report. Its `Options.kind` says that it moves no cursor (see `Options.apart`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from crmmap.events import NO_TROUBLES, Troubles
from crmmap.extract.readers import Reader
from crmmap.plan import FoundField, Step
from crmmap.redact import Clean
from crmmap.values import Page, Refusal, Start

MORE = "more"
"""The position of every page but the last: it is worth nothing, and kept nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Records that were kept together: `raws` as `Page.raw` gave them.

    `run_id` names the run that read them. `refused`, `places`, `part` and `tried` are as `refused`,
    `lines`, `part` and `tried` of a page.
    """

    run_id: str
    raws: Sequence[str]
    refused: tuple[Refusal, ...] = ()
    places: Sequence[int] | None = None
    tried: tuple[str, ...] = ()
    part: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """A reader whose pages are made of what was kept.

    `kept` gives what there is of a stream, in the order in which it was read, and `reader` is the
    source's own, which takes raw records for pages again; it is not read from. `runs` are the
    mapping's, oldest first, each with its kind. `absences` says why nothing is to be loaded of a
    stream. `found` gives the fields that the source lists, of a stream that asks for them.
    """

    reader: Reader
    kept: Callable[[Step], Iterator[Kept]]
    runs: Sequence[tuple[str, str]]
    absences: Mapping[str, str] = field(default_factory=dict)
    found: Callable[[Step], tuple[FoundField, ...]] = lambda _: ()

    def pages(self, step: Step, start: Start) -> Iterator[Page]:
        last: Page | None = None
        older_than: tuple[str, frozenset[str]] = "", frozenset()
        for number, kept in enumerate(self.kept(step), start=1):
            if last is not None:
                yield replace(last, position=MORE)
            if kept.run_id != older_than[0]:
                older_than = kept.run_id, later_than(kept.run_id, self.runs)
            last = replace(self._page(step, kept), number=number, older_than=older_than[1])
        yield self.reader.parse(step, []) if last is None else last

    def _page(self, step: Step, kept: Kept) -> Page:
        page = self.reader.parse(step, list(kept.raws))
        return replace(
            page, refused=kept.refused, lines=kept.places, part=kept.part, tried=kept.tried
        )

    def absent(self, step: Step) -> str | None:
        return self.absences.get(step.name)

    def fields(self, step: Step) -> tuple[FoundField, ...]:
        return self.found(step)

    def share(self, step: Step, page: Page) -> float | None:
        return None

    def troubles(self, step: Step) -> Troubles:
        return NO_TROUBLES

    def parse(self, step: Step, raws: list[str]) -> Page:
        return self.reader.parse(step, raws)

    @property
    def clean(self) -> Clean | None:
        return self.reader.clean

    def close(self) -> None:
        self.reader.close()


def later_than(run_id: str, runs: Sequence[tuple[str, str]]) -> frozenset[str]:
    """Return those of a mapping's runs that read later than this one.

    A remap reads nothing: what it wrote is as old as what it was made from.
    """
    names = [name for name, _ in runs]
    after = names.index(run_id) + 1 if run_id in names else len(names)
    return frozenset(name for name, kind in runs[after:] if kind != "remap")
