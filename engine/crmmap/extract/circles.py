"""Whether a read goes in a circle: the same request again, or the same page under another one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from crmmap.errors import SourceError
from crmmap.select.raw_records import bytes_of
from crmmap.select.strict import LARGE, written
from crmmap.select.xml_records import XmlRecords
from crmmap.values import Page, Request, as_json

KEPT = 10_000
"""Pages whose digests are kept, 16 bytes each: a longer circle ends at `max_pages`."""
TELLING = 2
"""Records with which a page tells itself from others: a single one may well come again."""


@dataclass(slots=True, kw_only=True)
class Circles:
    """Remembers what one read has asked for and what came, as digests."""

    requests: set[bytes] = field(default_factory=set)
    pages: dict[bytes, int] = field(default_factory=dict)
    before: bytes = b""

    def refuse_request(self, request: Request, number: int) -> None:
        """Raise SourceError where a request was sent before."""
        digest = _digest(
            [(request.method, request.url, request.params, request.headers, request.body)]
        )
        if digest in self.requests:
            message = (
                f"page {number} would be one that was read before: the source's "
                "next-page token goes in a circle. Check the pagination"
            )
            raise SourceError(message)
        self.requests.add(digest)

    def refuse_page(self, page: Page) -> None:
        """Raise SourceError where a page is one that came before."""
        if not len(page.records):
            return
        raws = _as_sent(page.records)
        # The same records are sent in the same way.
        if raws is None and isinstance(page.records, list) and page.size <= LARGE:
            raws = written(page.records)
        digest = _digest(page.records) if raws is None else _digest_of_bytes(raws)
        earlier = self.pages.get(digest) if len(page.records) >= TELLING else None
        if digest == self.before:
            message = (
                f"page {page.number} brought the same records as the page before it: the source "
                "ignores what asks for the next page. Check the pagination"
            )
            raise SourceError(message)
        if earlier is not None:
            message = (
                f"page {page.number} brought the same records as page {earlier}: the source's "
                "pages go in a circle. Check the pagination"
            )
            raise SourceError(message)
        self.before = digest
        self.pages[digest] = page.number
        if len(self.pages) > KEPT:
            del self.pages[next(iter(self.pages))]

    def forget_pages(self) -> None:
        """Forget the pages, where reading begins anew at records that may have come already."""
        self.before = b""
        self.pages.clear()

    def forget(self) -> None:
        """Forget everything."""
        self.forget_pages()
        self.requests.clear()


def _as_sent(records: object) -> Sequence[bytes] | None:
    """Return the bytes of records that are bytes still; None of others."""
    return [*records.stretches()] if isinstance(records, XmlRecords) else bytes_of(records)


def _digest_of_bytes(raws: Sequence[bytes]) -> bytes:
    return sha256(b"\0".join(raws)).digest()[:16]


def _digest(values: Iterable[object]) -> bytes:
    digest = sha256()
    for each in values:
        try:
            digest.update(repr(each).encode("utf-8", "backslashreplace"))
        except RecursionError:  # deeper than Python's own writers go, which are the quick ones
            digest.update(as_json(each).encode())
        digest.update(b"\0")
    return digest.digest()[:16]
