"""How a response's or a file's bytes become records."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Annotated

from crmmap.declare import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Json:
    """One JSON document per response (RFC 8259), in UTF-8, UTF-16 or UTF-32.

    Numbers keep their digits. A record that holds an object with the same key
    twice is rejected (rule `json.duplicate_key`): readers disagree on which one counts.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Csv:
    """Comma-separated text (RFC 4180) with a header row.

    Every cell is text until its field types it. A byte order mark decides the
    encoding, whatever is declared. Blank lines are skipped. A line with too few
    or too many cells, a stray quote or bytes that the encoding does not know
    becomes a reject with its line number; the rest of the file is read.
    """

    encoding: Annotated[str, "Text encoding, as Python names it (`utf-8`, `cp1252`)."] = "utf-8"
    delimiter: Annotated[str, "One character.", Limits(pattern="^.$")] = ","
    quote: Annotated[str, "One character.", Limits(pattern="^.$")] = '"'
    max_record: Annotated[
        int, "Bytes: a longer record (a quote never closed) is rejected.", Limits(minimum=1024)
    ] = 1024 * 1024

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


def _is_of_text(encoding: str) -> bool:
    """Whether Python can decode text of this encoding, a piece at a time."""
    try:
        "".encode(encoding)  # raises LookupError also for codecs that are not of texts
        return codecs.lookup(encoding).incrementaldecoder is not None
    except (LookupError, ValueError):
        return False


FORMATS: dict[str, type] = {"json": Json, "csv": Csv}
