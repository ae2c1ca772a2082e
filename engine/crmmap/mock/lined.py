"""Answers that are lines, pretended: JSON Lines and CSV; and what is packed, as the format says."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from crmmap.kinds.formats import Csv, Format, Ndjson, Xml
from crmmap.mock.columns import cell
from crmmap.select.strict import read_json

KINDS: dict[type, str] = {
    Xml: "application/xml; charset=utf-8", Ndjson: "application/x-ndjson", Csv: "text/csv",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Lined:
    """An answer whose lines are the records. `names` are the headers of CSV."""

    form: Csv | Ndjson
    names: tuple[str, ...] = ()

    def around(self, lines: Sequence[str], tokens: Mapping[str, object]) -> str:
        """Return the answer with the records, themselves JSON texts; tokens have no place in it."""
        if isinstance(self.form, Ndjson):
            return "".join(f"{line}\n" for line in lines)
        text = StringIO()
        writer = csv.writer(text, delimiter=self.form.delimiter, quotechar=self.form.quote)
        writer.writerow(self.names)
        for line in lines:
            record = read_json(line)
            if isinstance(record, dict):
                writer.writerow([_cell(record.get(name)) for name in self.names])
            else:  # what is no record in JSON is a ragged line here
                writer.writerow(["more"] * (len(self.names) + 1))
        return text.getvalue()


def _cell(value: object) -> str:
    return "" if value is None else cell(value)


def packed(text: str, form: Format | None) -> bytes:
    """Return an answer's bytes as the format wants them."""
    body = text.encode(form.encoding if isinstance(form, Csv) else "utf-8", "replace")
    if form is None or form.unpack == "none":
        return body
    if form.unpack == "zip":
        file = BytesIO()
        with ZipFile(file, "w", ZIP_DEFLATED) as archive:
            archive.writestr(ZipInfo("export"), body)
        return file.getvalue()
    return gzip.compress(body, mtime=0)


def media_type(form: Format | None) -> str:
    """Return what an answer says that it is."""
    if form is not None and form.unpack != "none":
        return "application/octet-stream"
    return KINDS.get(type(form), "application/json; charset=utf-8")
