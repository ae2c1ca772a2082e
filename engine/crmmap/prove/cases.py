"""Case files: what stands beside a mapping to say what it must give.

`mappings/cases/NAME.yaml` holds the list `cases`. Each is written for people who know the CRM:

    name, stream    what it shows, and of which stream
    settings        what the user supplies; what is left out has its default
    for_each        what templates may name of a partition: `{parent: {id: "41"}}`
    given           the records: as the API lists them; of XML, their elements' texts; of a file or
                    a database, the cells that are not empty, by header or column
    answer          or a whole answer, in which `records` must find them
    text            or an answer's body, or a file's, as it comes
    page            of an API: records to a page. The pretended source has the records that are
                    `given` and sends so many at a time; the stream's own pagination must bring all
    then            of a stream with a cursor: the records that the source has when it is read
                    again; `rows` are those after both reads
    rows            the rows that it must give; columns left out must be null
    rejects         the records refused, with reasons: `field: rule`, or the rule alone; else none
    notes           the cells emptied; else none
    duplicate, filtered   how many records ended there; else 0

Lookups need a store: a column that looks something up still shows what was sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from crmmap.errors import MappingError
from crmmap.spec.document import Document, read_document
from crmmap.spec.faults import Fault, SourceMap, guess
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.spec.nodes import Unreadable

Row = Mapping[str, Any]

INPUTS = ("given", "answer", "text", "file")
"""The words of which a case has one: where its records come from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One entry of a case file. `line` is where it begins."""

    name: str
    stream: str
    rows: Sequence[Row]
    given: Sequence[Any] | None = None
    answer: Any = None
    text: str | None = None
    file: str | None = None
    page: int | None = None
    then: Sequence[Any] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    for_each: Mapping[str, Any] = field(default_factory=dict)
    rejects: Sequence[Row] = ()
    notes: Sequence[Row] = ()
    duplicate: int = 0
    filtered: int = 0
    line: int = 0


WORDS = tuple(each.name for each in fields(Case) if each.name != "line")
NEEDED = ("name", "stream", "rows")
KINDS: dict[str, type] = {
    "name": str, "stream": str, "rows": list, "given": list, "text": str, "file": str,
    "page": int, "then": list, "settings": dict, "for_each": dict, "rejects": list,
    "notes": list, "duplicate": int, "filtered": int,
}  # fmt: skip
SAID = {str: "text", list: "a list", int: "a whole number", dict: "an object"}


def cases_beside(mapping: Path) -> Path:
    """Return where the case file of a mapping's file stands."""
    return mapping.parent / "cases" / mapping.name


def read_cases(path: Path, mapping: MappingSpec) -> tuple[Case, ...]:
    """Read a case file. Raises MappingError with every fault, at its line and column."""
    try:
        text = path.read_bytes()
    except OSError as error:
        message = f"can't be read: {error.strerror}"
        raise _faulty(
            path, SourceMap({}, {}), [Fault(path=(), rule="file", message=message)]
        ) from None
    return cases_of(text, str(path), mapping)


def cases_of(text: bytes, file: str, mapping: MappingSpec) -> tuple[Case, ...]:
    """Return the cases in a text; `file` is its name in messages. Raises MappingError."""
    try:
        document = read_document(text)
    except Unreadable as error:
        raise _faulty(file, SourceMap({}, {}), [error.fault]) from None
    faults = [*document.faults, *_faults(document, mapping)]
    if faults:
        raise _faulty(file, document.places, faults)
    assert isinstance(document.value, dict)  # noqa: S101  (else there were faults)
    return tuple(
        Case(**entry, line=document.places.place(("cases", at)).line)
        for at, entry in enumerate(document.value["cases"])
    )


def _faulty(file: str | Path, places: SourceMap, faults: Sequence[Fault]) -> MappingError:
    return MappingError(places.locate(faults, str(file)))


def _faults(document: Document, mapping: MappingSpec) -> Iterator[Fault]:
    value = document.value
    if not isinstance(value, dict) or list(value) != ["cases"] or not _is_list(value["cases"]):
        message = "is no case file. It holds one word, `cases`, with a list of cases"
        yield Fault(path=(), rule="cases", message=message)
        return
    names: set[str] = set()
    for at, entry in enumerate(value["cases"]):
        path = ("cases", at)
        if not isinstance(entry, dict):
            yield Fault(path=path, rule="type", message="is no case. It must be an object")
            continue
        shape = [
            Fault(path=(*path, *inner), rule="cases", message=message)
            for inner, message in _misshapen(entry)
        ]
        yield from shape or (
            Fault(path=(*path, *inner), rule="cases", message=message)
            for inner, message in _unsuited(entry, mapping, names)
        )


def _is_list(value: object) -> bool:
    return isinstance(value, list)


Told = tuple[tuple[str | int, ...], str]


def _misshapen(entry: Mapping[str, Any]) -> Iterator[Told]:
    for word, value in entry.items():
        if word not in WORDS:
            yield (word,), f"is no word of a case{guess(word, WORDS)}. It has: {', '.join(WORDS)}"
        elif word in KINDS and (type(value) is not KINDS[word]):
            yield (word,), f"must be {SAID[KINDS[word]]}"
    for word in NEEDED:
        if word not in entry:
            yield (), f"the case has no '{word}'. It needs {', '.join(NEEDED)}"
    given = [word for word in INPUTS if word in entry]
    if len(given) != 1:
        yield (), f"the case needs one of {', '.join(INPUTS)}: where its records come from"
    for word in ("rows", "rejects", "notes"):
        for at, each in enumerate(entry.get(word) or ()):
            if not isinstance(each, dict):
                yield (word, at), "must be an object"
    for word in ("page", "then"):
        if word in entry and "given" not in entry:
            yield (word,), "needs `given`: the records that the source has"


def _unsuited(entry: Mapping[str, Any], mapping: MappingSpec, names: set[str]) -> Iterator[Told]:
    if entry["name"] in names:
        yield ("name",), "is the name of a case above. Give each its own"
    names.add(entry["name"])
    stream = mapping.streams.get(entry["stream"])
    if stream is None:
        known = ", ".join(mapping.streams)
        near = guess(entry["stream"], mapping.streams)
        yield ("stream",), f"{mapping.name} has no such stream{near}. It has: {known}"
        return
    for name in entry.get("settings", {}):
        if name not in mapping.settings:
            yield ("settings", name), f"{mapping.name} has no such setting"
    for at, row in enumerate(entry["rows"]):
        for column in row:
            if column not in stream.fields:
                near = guess(column, stream.fields)
                yield ("rows", at, column), f"the stream has no such field{near}"
    if "page" in entry and entry["page"] < 1:
        yield ("page",), "must be 1 at least"
    if "then" in entry and stream.incremental is None:
        yield ("then",), "needs a stream with `incremental`: others are read whole every time"
