"""Reads the streams of files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import PurePath

from crmmap.events import NO_TROUBLES, Troubles
from crmmap.extract.file_documents import read_documents
from crmmap.extract.files import CsvFile, Wanted, progress_of, read_pages
from crmmap.extract.kept import page_of_documents, page_of_texts
from crmmap.extract.listing import listed
from crmmap.extract.partitions import with_given
from crmmap.extract.request import given_values
from crmmap.extract.several_files import Reading, read_files, share_of
from crmmap.extract.standard_input import StandardInput
from crmmap.extract.stored import Stored
from crmmap.kinds.formats import Csv
from crmmap.plan import FoundField, Plan, Step
from crmmap.values import Page, Start


@dataclass(frozen=True, slots=True)
class FileReader:
    """Reads the streams of files."""

    plan: Plan
    clock: Callable[[], datetime]
    readings: dict[str, Reading] = field(default_factory=dict)
    standard_input: StandardInput = field(default_factory=StandardInput)

    def pages(self, step: Step, start: Start) -> Iterator[Page]:
        reading = self.readings[step.name] = Reading()
        found = listed(step, self.standard_input)
        yield from read_files(step, start, found, self.clock(), reading, partial(self._read, step))

    def _read(self, step: Step, file: Stored, position: str | None) -> Iterator[Page]:
        named = {"name": PurePath(file.name).name, "path": file.name}
        given = given_values(self.plan, step, {"file": named}) if step.given else {}
        for page in self._of(step, file, position):
            yield with_given(page, given) if given else page

    def absent(self, step: Step) -> str | None:
        return None if step.file else "no file is named for it"

    def fields(self, step: Step) -> tuple[FoundField, ...]:
        return ()

    def share(self, step: Step, page: Page) -> float | None:
        return share_of(page, self.readings[step.name], progress_of)

    def troubles(self, step: Step) -> Troubles:
        reading = self.readings.get(step.name)
        return NO_TROUBLES if reading is None else Troubles(unread=dict(reading.unread))

    def parse(self, step: Step, raws: list[str]) -> Page:
        if isinstance(step.format, Csv):
            return page_of_texts(raws)
        return page_of_documents(raws)

    @property
    def clean(self) -> None:
        return None

    def close(self) -> None:
        """Let go of standard input; other files are open only while they are read."""
        self.standard_input.close()

    def _of(self, step: Step, file: Stored, position: str | None) -> Iterator[Page]:
        if not isinstance(step.format, Csv):
            return read_documents(step, file, position)
        return read_pages(self._csv(step, file), position, chunk_rows=step.batch)

    def _csv(self, step: Step, file: Stored) -> CsvFile:
        form = step.format
        assert isinstance(form, Csv)  # noqa: S101  (lint pairs the format with the source)
        wanted = Wanted(headers=step.headers, optional=step.optional)
        return CsvFile(file=file, format=form, wanted=wanted)
