"""XML records as they were sent: stretches of a document, of which few ever become elements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast, overload

import polars as pl


class Element(dict[str, object]):
    """A record with the texts that a walk found in its element, besides the element's own text."""

    __slots__ = ("row",)

    def __init__(self, entries: Mapping[str, object], row: Sequence[str | None]) -> None:
        super().__init__(entries)
        self.row = row

    def __or__(self, more: Mapping[str, object]) -> Element:  # type: ignore[override]
        return Element({**self, **more}, self.row)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class XmlRecords:
    """A sequence of records, each made an `Element` when it is asked for.

    `text` is the document, in UTF-8, and `tag` its root's start tag: no other declares a
    namespace. `places` says of each record where it begins and ends in it, and where the next tag
    `resumes`, in bytes; `found` is what a walk finds in them, with a column for each of its places.
    """

    text: bytes
    tag: bytes
    places: pl.DataFrame
    found: pl.DataFrame

    def __len__(self) -> int:
        return self.places.height

    @overload
    def __getitem__(self, at: int) -> object: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[object]: ...
    def __getitem__(self, at: int | slice) -> object:
        if isinstance(at, slice):
            return xml_records(self._part(at))
        start = range(len(self))[at]
        return next(iter(self._part(slice(start, start + 1))))

    def __iter__(self) -> Iterator[object]:
        # lxml is imported where a stream is of XML.
        from crmmap.select.xml_parsing import texts_of
        from crmmap.select.xpath import XML

        texts = texts_of(self.tag, [*self.stretches()])
        for text, row in zip(texts, self.found.iter_rows(), strict=True):
            yield Element({XML: text}, row)

    def stretches(self) -> Iterator[bytes]:
        """Yield the records as they were sent."""
        for start, end in self.places.select("start", "end").iter_rows():
            yield self.text[start:end]

    def _part(self, at: slice) -> XmlRecords:
        return XmlRecords(
            text=self.text, tag=self.tag, places=self.places[at], found=self.found[at]
        )


def xml_records(records: XmlRecords) -> Sequence[object]:
    """Return records as what a page holds."""
    # All that a sequence is asked for here is there; the house has no base classes.
    return cast("Sequence[object]", records)
