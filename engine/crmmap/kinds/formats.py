"""How a response's or a file's bytes become records."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from crmmap.declare import Limits

Unpack = Literal["none", "gzip", "zip", "auto"]
UNPACK = Annotated[
    Unpack,
    "How what is read is packed: as `gzip`, as a `zip` archive, or as its first bytes tell "
    "(`auto`). Of an HTTP source that is beyond its `Content-Encoding`, and an archive has one "
    "file.",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Json:
    """One JSON document per response (RFC 8259), in UTF-8, UTF-16 or UTF-32.

    Numbers keep their digits. A record that holds an object with the same key
    twice is rejected (rule `json.duplicate_key`): readers disagree on which one counts.
    """

    unpack: UNPACK = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ndjson:
    """One JSON document to a line, each a record; in UTF-8. Also called JSON Lines.

    Numbers keep their digits. Blank lines are skipped; a line that is not JSON is rejected (rule
    `json.line`), and so is a record that holds an object with the same key twice
    (`json.duplicate_key`). An answer must say how long it is: one that is cut short looks whole.
    """

    unpack: UNPACK = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Csv:
    """Comma-separated text (RFC 4180) with a header row.

    Every cell is text until its field types it. A byte order mark decides the
    encoding, whatever is declared. Blank lines are skipped. A line with too few
    or too many cells, a stray quote or bytes that the encoding does not know
    becomes a reject with its line number; the rest of the file is read. Over HTTP an
    answer must say how long it is: one that is cut short looks whole.
    """

    encoding: Annotated[str, "Text encoding, as Python names it (`utf-8`, `cp1252`)."] = "utf-8"
    delimiter: Annotated[str, "One character.", Limits(pattern="^.$")] = ","
    quote: Annotated[str, "One character.", Limits(pattern="^.$")] = '"'
    max_record: Annotated[
        int, "Bytes: a longer record (a quote never closed) is rejected.", Limits(minimum=1024)
    ] = 1024 * 1024
    unpack: UNPACK = "none"

    def __post_init__(self) -> None:
        if not _is_of_text(self.encoding):
            message = (
                f"encoding {self.encoding[:40]!r} is unknown. "
                "Name one of Python's: utf-8, cp1252, latin-1, utf-16, …"
            )
            raise ValueError(message)
        if self.delimiter == self.quote or {self.delimiter, self.quote} & set("\r\n\0"):
            message = "`delimiter` and `quote` must differ, and be no line ends"
            raise ValueError(message)


PREFIX = "^[A-Za-z_][A-Za-z0-9_.-]{0,62}$"
WAY = r"^(/[^\W\d][\w.-]*(:[^\W\d][\w.-]*)?)+$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Xml:
    """One XML 1.0 document per response; `records`, `from` and paginations' words are XPath 1.0.

    `records` is the way to the record elements from the root: `/a:feed/a:entry`, a
    condition on the last step allowed (`/list/item[@kind='contact']`). `from` starts at the
    record element: `m:properties/d:id`, `@id`, `a:link[@rel='edit']/@href`; what stands
    around the record can't be reached. In both, a prefix means what `namespaces` says, whatever
    the document calls it; a name without one is in no namespace.

    An answer without records must still have the element that would hold them, or else it is
    another answer than the one meant. That is the record elements' parent, unless `container` says
    otherwise.

    Every value is text, its digits as sent; CDATA is text, comments and processing
    instructions are left out. An empty element is empty text, one that is missing or that
    `null_attribute` marks is null. Of several nodes the first counts; an element that has elements
    is refused (`xml.container`), but by a `json` field, which takes it as an object.

    A document that is cut short or not well-formed is asked for again, and never read as a short
    page; one with a DOCTYPE is refused.
    """

    namespaces: Annotated[
        Mapping[Annotated[str, Limits(pattern=PREFIX)], Annotated[str, Limits(min_length=1)]],
        "Prefix → namespace (its URI).",
    ] = field(default_factory=dict)
    null_attribute: Annotated[
        str | None,
        "An attribute that marks an element as null where it is `true` or `1`: `m:null`, "
        "`xsi:nil`.",
    ] = None
    sanitize: Annotated[
        bool,
        "Mend what no XML may hold before it is read: a bare `&` becomes `&amp;`, control "
        "characters and references to them are removed. How many is noted in the report.",
    ] = False
    container: Annotated[
        str | None,
        "The way to the element that holds all records, and stands there without any too, where "
        "that is not their parent: `/a:feed` for records at "
        "`/a:feed/a:entry/a:content/m:properties`, each of which has an entry of its own.",
        Limits(pattern=WAY),
    ] = None
    unpack: UNPACK = "none"

    def __post_init__(self) -> None:
        name = self.null_attribute
        if name is None:
            return
        prefix, _, rest = name.rpartition(":")
        if not re.fullmatch(PREFIX, rest) or (prefix and prefix not in self.namespaces):
            message = "`null_attribute` must be an attribute's name, its prefix one of `namespaces`"
            raise ValueError(message)


def _is_of_text(encoding: str) -> bool:
    """Whether Python can decode text of this encoding, a piece at a time."""
    try:
        "".encode(encoding)  # raises LookupError also for codecs that are not of texts
        return codecs.lookup(encoding).incrementaldecoder is not None
    except (LookupError, ValueError):
        return False


Format = Json | Ndjson | Csv | Xml

FORMATS: dict[str, type] = {"json": Json, "ndjson": Ndjson, "csv": Csv, "xml": Xml}
