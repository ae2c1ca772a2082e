"""XML as records: an element at a time, so that a page's tree never stands in memory whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lxml import etree

from crmmap.select.walk import Walk
from crmmap.select.xml_records import Element
from crmmap.select.xpath import SAFE, XML, RecordPath

PIECE = 64 * 1024
LARGEST = 16 * 1024 * 1024
"""Bytes that one record may have, and all that stands around the records."""
NAMESPACES = 200
LONG = 64 * 1024
"""Namespaces that may hold for a record, and characters of them: each declares them all anew."""
ALL = 512 * 1024 * 1024
"""Characters that the records may have together, with the namespaces that they declare."""

HEAD = re.compile(
    rb"[\xef\xbb\xbf\xff\xfe]*+(?:(?>\s+|<\?.*?\?>|<!--.*?-->))*+(?:<!(?P<doctype>DOCTYPE)|<)",
    re.DOTALL,
)
"""What may stand before the root element, a byte order mark first."""


class NotXml(ValueError):
    """What can't be read as XML, in words that quote nothing of it.

    `again` says whether another attempt may bring something better, `unclean` that it holds what
    a sanitiser may mend.
    """

    def __init__(self, message: str, *, again: bool = True, unclean: bool = False) -> None:
        self.again = again
        self.unclean = unclean
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A record's element as text, and its place among the records."""

    at: int
    text: str
    row: Sequence[str | None] | None = None
    """What the walk found in it, where it was gone."""

    @property
    def record(self) -> dict[str, object]:
        entries: dict[str, object] = {XML: self.text}
        return entries if self.row is None else Element(entries, self.row)


class XmlReader:
    """Takes a document's bytes piece by piece and gives the records that they complete.

    `walk` is gone through each as it ends; `bare` as for `Walk.row`. `most` bounds the characters
    of all records together, for who holds them all.
    """

    def __init__(
        self, path: RecordPath, walk: Walk | None = None, *, most: int | None = None,
        bare: bool = False,
    ) -> None:  # fmt: skip
        self._path = path
        self._walk = walk
        self._bare = bare
        self._most = most
        self._parser = etree.XMLPullParser(events=("start", "end"), tag=path.tags[-1], **SAFE)
        self._within: etree._Element | None = None
        self._done: etree._Element | None = None
        self._count = 0
        self._around = 0
        self._record = 0
        self._all = 0
        self._started = False

    def feed(self, piece: bytes) -> Iterator[Found]:
        """Yield the records that end in this piece. Raises NotXml."""
        if not self._started:
            _demand_no_doctype(piece)
            self._started = bool(piece.strip())
        try:
            self._parser.feed(piece)
        except etree.XMLSyntaxError as error:
            raise _not_well_formed(error) from None
        inside, ended = self._within is not None, False
        for event, element in self._parser.read_events():
            assert isinstance(element, etree._Element)  # noqa: S101  (what both events bring)
            if event == "start":
                inside = self._enter(element) or inside
            elif element is self._within:
                ended = True
                yield from self._leave(element)
        self._bound(len(piece), inside=inside, ended=ended)

    def close(self) -> etree._Element:
        """Return the root element without the records. Raises NotXml where the document is cut."""
        try:
            self._parser.feed(b"")
            root: etree._Element = self._parser.close()
        except etree.XMLSyntaxError as error:
            raise _not_well_formed(error, ended=True) from None
        if root.getroottree().docinfo.internalDTD is not None:
            raise _doctype()
        self._drop()
        return root

    def _enter(self, element: etree._Element) -> bool:
        if self._within is None and self._path.leads_to(element):
            bound_namespaces(element)
            self._within = element
            return True
        return False

    def _leave(self, element: etree._Element) -> Iterator[Found]:
        self._within = None
        # The parser may still be at this element; only the one before it can be let go.
        self._drop()
        self._done = element
        self._record = 0
        try:
            taken = self._path.takes(element)
        except ValueError as error:
            raise NotXml(str(error), again=False) from None
        if taken:
            text = etree.tostring(element, encoding="unicode", with_tail=False)
            self._all += len(text)
            if self._most is not None and self._all > self._most:
                raise _too_much(self._most)
            row = None if self._walk is None else self._walk.row(element, bare=self._bare)
            yield Found(at=self._count, text=text, row=row)
            self._count += 1

    def _drop(self) -> None:
        if self._done is not None and (parent := self._done.getparent()) is not None:
            parent.remove(self._done)
        self._done = None

    def _bound(self, size: int, *, inside: bool, ended: bool) -> None:
        self._record = 0 if ended else self._record + size * inside
        self._around += 0 if inside else size
        if max(self._record, self._around) > LARGEST:
            what = "one record" if self._record > LARGEST else "what stands around the records"
            message = f"{what} is larger than {LARGEST // 1024 // 1024} MiB; look at `records`"
            raise NotXml(message, again=False)


def _too_much(most: int) -> NotXml:
    return NotXml(f"records that take more than {most:,} characters to hold", again=False)


def bound_namespaces(element: etree._Element) -> None:
    """Raise NotXml where more namespaces hold for an element than every record may repeat."""
    found = element.nsmap
    if len(found) > NAMESPACES or sum(map(len, found.values())) > LONG:
        message = "namespaces too many, or too long, for every record to repeat"
        raise NotXml(message, again=False)


def pieces(body: bytes) -> Iterator[bytes]:
    """Yield a body in pieces fit for the reader."""
    for at in range(0, len(body), PIECE):
        yield body[at : at + PIECE]


AT_ONCE = 8 * 1024 * 1024
"""Bytes of a document whose tree, some nine times as large, may stand in memory whole."""


def whole(
    body: bytes, path: RecordPath, walk: Walk | None = None, *, most: int = ALL
) -> tuple[list[Found], etree._Element]:
    """Return all records of a document, and its root without them. Raises NotXml.

    `most` bounds the characters of all records together.
    """
    root, bare = _at_once(body) if len(body) <= AT_ONCE else None, bare_of(body, walk)
    if root is None:
        return one_by_one(pieces(body), path, walk, most=most, bare=bare)
    return _taken_out(root, path, walk, most=most, bare=bare), root


def one_by_one(
    body: Iterable[bytes], path: RecordPath, walk: Walk | None = None, *, most: int = ALL,
    bare: bool = False,
) -> tuple[list[Found], etree._Element]:  # fmt: skip
    """Return what `whole` does, of a document whose tree never stands in memory whole."""
    reader = XmlReader(path, walk, most=most, bare=bare)
    found = [each for piece in body for each in reader.feed(piece)]
    root = reader.close()
    return found, root


def _at_once(body: bytes) -> etree._Element | None:
    """Return the root of a document, parsed in half the time that pieces take.

    None where the reader must say what is wrong with it, or ask more of it.
    """
    _demand_no_doctype(body)
    try:
        root: etree._Element = etree.fromstring(body, etree.XMLParser(**SAFE))
    except (etree.XMLSyntaxError, ValueError):
        return None
    if root.getroottree().docinfo.internalDTD is not None:
        raise _doctype()
    bound_namespaces(root)
    return root if body.count(b"xmlns") <= len(root.nsmap) else None


def bare_of(body: bytes, walk: Walk | None) -> bool:
    """Say whether no element that is marked as null holds anything, as far as can be seen at once.

    So it is where each mark stands last in a tag that ends its element: `m:null="true"/>`. In
    UTF-16 nothing can be seen.
    """
    if walk is None or walk.null_name is None:
        return False
    if body.lstrip()[:1] != b"<" or b"\0" in body[:4]:
        return False
    name = re.escape(etree.QName(walk.null_name).localname.encode())
    return len(re.findall(name + rb"\s*=", body)) == len(
        re.findall(name + rb'="(?:true|1)"/>', body)
    )


def _taken_out(
    root: etree._Element, path: RecordPath, walk: Walk | None, *, most: int, bare: bool
) -> list[Found]:
    """Take the records out of a document."""
    found: list[Found] = []
    size = 0
    for element in _records(root, path):
        try:
            taken = path.takes(element)
        except ValueError as error:
            raise NotXml(str(error), again=False) from None
        if taken:
            text = etree.tostring(element, encoding="unicode", with_tail=False)
            size += len(text)
            if size > most:
                raise _too_much(most)
            row = None if walk is None else walk.row(element, bare=bare)
            found.append(Found(at=len(found), text=text, row=row))
        if (parent := element.getparent()) is not None:
            parent.remove(element)
    return found


def _records(root: etree._Element, path: RecordPath) -> list[etree._Element]:
    """Return the elements at the end of the way, in the order of the document."""
    here = [root] if path.tags[0] in ("*", root.tag) else []
    for tag in path.tags[1:]:
        here = [child for each in here for child in each.iterchildren(tag)]
    return here


def read_xml(body: bytes) -> etree._Element | None:
    """Return the root of a small document, such as tells of an error; None if it is none."""
    if len(body) > LARGEST // 16 or HEAD.match(body) is None or b"<!DOCTYPE" in body:
        return None
    try:
        root: etree._Element = etree.fromstring(body, etree.XMLParser(**SAFE))
    except (etree.XMLSyntaxError, ValueError):
        return None
    # In UTF-16, or another of libxml2's encodings, a DOCTYPE is not seen among the bytes.
    return root if root.getroottree().docinfo.internalDTD is None else None


def astray(root: etree._Element, path: RecordPath) -> str:
    """Say what is wrong where not even the element stands there that would hold the records."""
    here = [root] if path.tags[0] in ("*", root.tag) else []
    for tag in path.tags[1 : path.holding]:
        here = [child for each in here for child in each if tag in ("*", child.tag)]
    if here:
        return ""
    name = etree.QName(root)
    space = f" in the namespace '{name.namespace[:80]}'" if name.namespace else ""
    root_name = f"'{name.localname[:40]}'{space}"
    return f"'{path.text}' selects nothing; {root_name} is the root element"


def _demand_no_doctype(start: bytes) -> None:
    # Of UTF-16 only every second byte is of ASCII; what is missed here is seen at the end.
    head = HEAD.match(start.replace(b"\0", b""))
    if head is not None and head["doctype"]:
        raise _doctype()


def _doctype() -> NotXml:
    message = "a document with a DOCTYPE, which is never read: its entities may hold anything"
    return NotXml(message, again=False)


UNSAID = 1
"""libxml2: an internal error; so lxml calls a document with a name that nothing defines."""
UNCLEAN = {8, 9, 22, 23, 26, 68}
"""libxml2: characters that XML may not hold, references to them, `&` without a name."""
BOUND = 114


def _not_well_formed(error: etree.XMLSyntaxError, *, ended: bool = False) -> NotXml:
    """Say what is wrong; `ended`: it showed when no more came, so that it is only half of it."""
    line, column = error.position
    where = f"line {line} column {column}"
    code: int = getattr(error, "code", 0)  # which the stubs do not know
    if code == BOUND:
        message = f"elements nested too deep, or a text too long ({where})"
        return NotXml(message, again=False)
    if code in UNCLEAN:
        message = f"XML with a character or an `&` that XML may not hold ({where})"
        return NotXml(message, unclean=True)
    if ended and code != UNSAID:
        return NotXml(f"a document that is cut short ({where})")
    return NotXml(f"XML that is not well formed ({where})")
