"""A page that is asked for in several requests, each with a stretch of a list too long for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from urllib.parse import quote

from crmmap.errors import SourceError
from crmmap.spec.model import Split
from crmmap.values import Page, Reason, Refusal, Request, as_json

INCOMPLETE = Reason(
    field=None,
    rule="split.incomplete",
    message="a part of the record did not come with the others (`split`)",
)
NAMELESS = Reason(
    field=None,
    rule="split.by",
    message="the record has nothing that its parts could be known by (`split.by`)",
)

Ask = Callable[[Request], tuple[Request, Page, Page]]
"""Sends a request; gives the one that was answered at last, and its page, as sent and as shaped."""

Key = tuple[str, int]
"""What a record is known by, and how many of its page were known by the same before it."""


def read_split(
    split: Split, request: Request, first: Request, ask: Ask
) -> tuple[Request, Page, Page]:
    """Return the page that a request asks for, put together from its parts. Raises SourceError.

    The list is that of the stream's `first` request: a link to the next page may have a part of it.
    """
    whole = items_of(split, first)
    stretches = tuple(_stretches(split, whole))
    if len(stretches) < 2:
        return ask(request)
    answered, sent, pages = _asked(split, request, stretches, ask)
    if len(pages) < len(stretches) or _torn(split, pages):
        # A rule made one of them ask for less, or a record moved in between.
        answered, sent, pages = _asked(split, answered, stretches, ask)
    if len(pages) < len(stretches):
        message = f"the parts of page {pages[0].number} can't be asked for alike (`split`)"
        raise SourceError(message)
    return _with(split, answered, whole), sent, _merged(split, pages)


def _asked(
    split: Split, request: Request, stretches: Sequence[Sequence[object]], ask: Ask
) -> tuple[Request, Page, list[Page]]:
    """Ask with every stretch; stop where a rule had one of them ask otherwise than the first."""
    answered, sent, page = ask(_with(split, request, stretches[0]))
    pages = [page]
    for stretch in stretches[1:]:
        last, other, page = ask(_with(split, answered, stretch))
        if _with(split, last, ()) != _with(split, answered, ()):
            return last, other, pages
        pages.append(page)
    return answered, sent, pages


# --- the list ---------------------------------------------------------------------------------


def items_of(split: Split, request: Request) -> Sequence[object]:
    """Return the items of the list that is split."""
    if split.param is not None:
        text = dict(request.params).get(split.param, "")
        return [part for part in text.split(",") if part]
    found: object = request.body
    for step in (split.body or "").split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found if isinstance(found, list | tuple) else ()


def is_split(split: Split | None, first: Request) -> bool:
    """Say whether a page is asked for in several requests."""
    return split is not None and len([*_stretches(split, items_of(split, first))]) > 1


def _stretches(split: Split, items: Sequence[object]) -> Iterator[Sequence[object]]:
    stretch: list[object] = []
    length = 0
    for item in items:
        size = len(quote(str(item), safe="")) + 3  # a comma is sent as %2C
        if stretch and (len(stretch) >= split.most or length + size > split.longest):
            yield stretch
            stretch, length = [], 0
        stretch.append(item)
        length += size
    if stretch:
        yield stretch


def _with(split: Split, request: Request, items: Sequence[object]) -> Request:
    if split.param is not None:
        name, text = split.param, ",".join(map(str, items))
        # In its place: the order of parameters may be signed, and a request is known by it.
        if all(each != name for each, _ in request.params):
            return request.with_param(name, text)
        pairs = tuple((each, text if each == name else value) for each, value in request.params)
        return replace(request, params=pairs)
    return request.with_body(split.body or "", list(items))


# --- the records ------------------------------------------------------------------------------


def _keyed(split: Split, page: Page) -> dict[Key, int]:
    """Return the records of a page by what they are known by; those with nothing are left out."""
    found: dict[Key, int] = {}
    count: dict[str, int] = {}
    for at, record in enumerate(page.records):
        try:
            value = split.by.find(record)
        except ValueError:
            continue
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            nth = count[str(value)] = count.get(str(value), -1) + 1
            found[str(value), nth] = at
    return found


def _torn(split: Split, pages: Sequence[Page]) -> bool:
    first = set(_keyed(split, pages[0]))
    return any(set(_keyed(split, page)) != first for page in pages[1:])


def _merged(split: Split, pages: Sequence[Page]) -> Page:
    """Return the first page with what the others have of its records. Raises SourceError."""
    first, keyed = pages[0], [_keyed(split, page) for page in pages]
    everywhere = set(keyed[0]).intersection(*keyed[1:])
    if not everywhere and any(keyed):
        message = (
            f"the parts of page {first.number} have no record in common by '{split.by.text}'. "
            "Check `split`, and whether the source lists records in one order"
        )
        raise SourceError(message)
    by_place = {at: key for key, at in keyed[0].items()}
    records: list[object] = []
    places: list[int] = []
    refused = list(first.refused)
    for at, record in enumerate(first.records):
        key, place = by_place.get(at), first.lines[at] if first.lines is not None else at
        if key in everywhere and key is not None:
            parts = [page.records[found[key]] for page, found in zip(pages, keyed, strict=True)]
            records.append(_together(parts))
            places.append(place)
        else:
            refused.append(_refusal(place, record, NAMELESS if key is None else INCOMPLETE))
    refused += _strays(pages, keyed, at=first.fetched)
    return replace(first, records=records, lines=places, refused=tuple(refused))


def _strays(
    pages: Sequence[Page], keyed: Sequence[Mapping[Key, int]], *, at: int
) -> Iterator[Refusal]:
    """Yield the records that the first part does not have."""
    known = set(keyed[0])
    for page, found in zip(pages[1:], keyed[1:], strict=True):
        for key in [key for key in found if key not in known]:
            known.add(key)
            yield _refusal(at, page.records[found[key]], INCOMPLETE)
            at += 1


def _refusal(at: int, record: object, reason: Reason) -> Refusal:
    return Refusal(at=at, raw=as_json(record), reasons=(reason,))


def _together(parts: Sequence[object]) -> object:
    """Return one record of its parts: objects entry by entry; else what came first and is there."""
    whole = parts[0]
    for part in parts[1:]:
        whole = _both(whole, part)
    return whole


def _both(one: object, other: object) -> object:
    if isinstance(one, dict) and isinstance(other, dict):
        names = dict.fromkeys((*one, *other))
        return {
            name: _both(one[name], other[name])
            if name in one and name in other
            else one.get(name, other.get(name))
            for name in names
        }
    return other if one is None else one
