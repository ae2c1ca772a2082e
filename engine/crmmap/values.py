"""The values that travel between the rooms: frozen, built once at a border, trusted after.

Here too stands the *raw frame*, the form in which a page's records reach the
transforms, whichever way they were read (see `RawFrame`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from hashlib import sha256
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlencode

import polars as pl


class Secret:
    """A text that never shows itself: not in `repr`, `str`, a log, a pickle or JSON.

    `reveal()` is called in one kind of place only: where a request is signed
    or a connection is opened.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> Any:
        message = "a Secret can't be pickled"
        raise TypeError(message)


Path = tuple[str | int, ...]
"""Where in a document something stands: `("streams", "contacts", "fields", 3)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One located fault in a mapping.

    `line` and `column` count from 1. `message` says what is wrong and then
    what is allowed; `rule` is a stable word for programs that read the report.
    """

    file: str
    line: int
    column: int
    path: Path
    message: str
    rule: str

    def __str__(self) -> str:
        where = ".".join(str(part) for part in self.path)
        middle = f"{where}: " if where else ""
        return f"{self.file}:{self.line}:{self.column}: {middle}{self.message}"


class Expression(Protocol):
    """A compiled expression that takes a value out of a decoded document."""

    @property
    def text(self) -> str: ...
    def find(self, document: object) -> object:
        """Return what the expression selects, None where it selects nothing.

        Raises ValueError, naming no value, where the document's types don't
        suit the expression.
        """
        ...

    def each(self, document: object) -> list[object]:
        """Return the list that the expression selects, with the nulls in it.

        Raises ValueError, naming no value, where there is none, or where the document's
        types don't suit the expression.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request, whole: what is sent is what stands here.

    `params` keep their order and may repeat. `body` is a JSON document, built
    leaf by leaf, or None; `form` a body as HTML forms send it instead. `safe` says
    that sending it twice does no harm (GET always; POST where the mapping says so). `passed`
    is not sent: how many records came before, of a source that counts them for each query.
    `unescaped` are characters that stand in parameters as they are.
    """

    method: str = "GET"
    url: str
    params: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str | Secret], ...] = ()
    body: object = None
    form: tuple[tuple[str, str | Secret], ...] = ()
    safe: bool = True
    passed: int = 0
    unescaped: str = ""

    @property
    def query(self) -> str:
        """The parameters as they are sent: a blank as %20, which all understand."""
        return urlencode(self.params, safe=self.unescaped, quote_via=quote)

    @property
    def payload(self) -> bytes | None:
        """The body as it is sent, and may be signed."""
        if self.form:
            pairs = [(n, v.reveal() if isinstance(v, Secret) else v) for n, v in self.form]
            return urlencode(pairs).encode()
        return None if self.body is None else as_json(self.body).encode()

    def with_param(self, name: str, value: str) -> Request:
        """Return this request with the query parameter set, whatever it was before."""
        others = tuple(pair for pair in self.params if pair[0] != name)
        return _replace(self, params=(*others, (name, value)))

    def with_form(self, form: Mapping[str, str | Secret]) -> Request:
        """Return this request with a form for its body."""
        return _replace(self, form=tuple(form.items()))

    def with_header(self, name: str, value: str | Secret) -> Request:
        """Return this request with the header set, whatever it was before."""
        others = tuple(pair for pair in self.headers if pair[0].lower() != name.lower())
        return _replace(self, headers=(*others, (name, value)))

    def with_body(self, way: str, value: object) -> Request:
        """Return this request with an entry of its JSON body set, whatever it was before.

        `way` names it: `paging.after`, or `filters.0.value` with the index of a list's item.
        Raises ValueError where the body has something else on the way.
        """
        return _replace(self, body=_with_entry(self.body, way.split("."), value))


def _with_entry(document: object, way: Sequence[str], value: object) -> object:
    if not way:
        return value
    first, rest = way[0], way[1:]
    if isinstance(document, list) and first.isdecimal() and int(first) < len(document):
        at = int(first)
        return [*document[:at], _with_entry(document[at], rest, value), *document[at + 1 :]]
    if document is None or isinstance(document, dict):
        inner = document or {}
        return {**inner, first: _with_entry(inner.get(first), rest, value)}
    message = f"the request's body has no place for '{first}'"
    raise ValueError(message)


def _replace(request: Request, **changes: Any) -> Request:
    kept = {each.name: getattr(request, each.name) for each in fields(request)}
    return Request(**{**kept, **changes})


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One HTTP answer, read to its end and decompressed. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    """The address asked, without its query: fit for a message."""
    request: Request | None = field(default=None, compare=False, repr=False)
    """What was asked at last, where a rule had it changed."""
    refused: tuple[object, ...] = ()
    """What the answer says, by a rule, of inputs that did not succeed."""
    renewed: bool = False
    """Whether a token was refused for this request before, and this answers one gained since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a record or a cell was refused. Never holds the refused value."""

    field: str | None
    rule: str
    message: str

    def as_json(self) -> dict[str, str | None]:
        return {"field": self.field, "rule": self.rule, "message": self.message}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A record that the reader itself could not read (a ragged line), kept raw.

    `at` is the record's place in its page (the line number in a file).
    """

    at: int
    raw: str
    reasons: tuple[Reason, ...]


Records = Sequence[object] | pl.DataFrame
"""A page's records: decoded JSON values, or a frame of text columns (a file's, by header)."""


RECORD = 2048
"""Bytes of a record: of larger ones, fewer make a batch, and fewer are read ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One response, or one chunk of a file.

    `records` are what the source sent; `refused` what could not even be read
    as a record; together they are `fetched`. `number` counts from 1 within
    the stream's read. `position` is JSON that says where reading goes on
    after this page; None means that this page was the last. `lines` is each
    record's place as a person would count it (a file's line number); without
    it, the place is the index. `part` names the partition whose cursor the records
    move. `cursor`, of a reader that keeps its own, is the stream's state once this
    page is committed. `mended` counts what of the page had to be mended to be read at all.
    """

    number: int
    records: Records
    refused: tuple[Refusal, ...] = ()
    position: str | None = None
    document: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    lines: Sequence[int] | pl.Series | None = None
    part: str = ""
    cursor: str | None = None
    mended: int = 0
    skipped: bool = False
    """Nothing was read, by a rule for answers: so no moment of reading may count as a cursor."""
    gap: str = ""
    """Why records that the source has may be missing here, in words; empty where none is."""
    asked: tuple[str, ...] = ()
    """The keys of the rows of another stream for which it was asked, if each has one field."""
    answered: bool = False
    """Whether it is the last page of what was asked for those rows."""
    older_than: frozenset[str] = frozenset()
    """Of records that were kept, and are loaded again: the runs that read later. A row that one of
    them wrote is newer, and is left as it is."""
    tried: tuple[str, ...] = ()
    """Of records that were refused, and are tried again: the ids of their rejects."""
    nul: bool = True
    """Whether a text of records that are columns may hold a NUL character."""
    size: int = 0
    """Bytes of the source that it was read from, about; 0 where nobody knows."""

    @property
    def weight(self) -> int:
        """How many records it counts as where memory is bounded: large ones as several each."""
        return max(1, self.fetched, self.size // RECORD)

    @property
    def fetched(self) -> int:
        return len(self.records) + len(self.refused)

    def raw(self, index: int) -> str:
        """Return the record at `index` as ASCII JSON text, which every database can store."""
        if isinstance(self.records, pl.DataFrame):
            return each_as_json([self.records.row(index, named=True)])[0]
        return each_as_json([self.records[index]])[0]

    def raws(self) -> list[str]:
        """Return all records as JSON text in their order: the same as `raw`, only sooner."""
        if isinstance(self.records, pl.DataFrame):
            return each_as_json(self.records.iter_rows(named=True))
        return each_as_json(self.records)


RAW_LIMIT = 64 * 1024
"""The longest raw record kept in a reject, in characters."""


def cut_raw(text: str) -> str:
    """Return a raw record as a reject keeps it: cut at `RAW_LIMIT`, with a digest of the whole."""
    if len(text) <= RAW_LIMIT:
        return text
    digest = sha256(text.encode()).hexdigest()
    return f"{text[:RAW_LIMIT]}… cut: {len(text)} characters, sha256 {digest}"


def is_cut(text: str) -> bool:
    """Say whether a reject's raw record is not whole."""
    return len(text) > RAW_LIMIT


class _Written(NamedTuple):
    text: str


def as_json(value: object, *, ascii_only: bool = True) -> str:
    """Return compact JSON in which numbers keep their digits; surrogates and NUL are escaped.

    Python's own writer would put `Decimal` in quotes, knows nothing of values
    that JSON can't say (written here by their `str`, unquoted), and gives up
    on nesting that its reader still takes; so this one does not recurse.
    """
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=ascii_only)
    written: list[str] = []
    pending: list[object] = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, _Written):
            written.append(each.text)
        elif isinstance(each, dict):
            pending.append(_Written("}"))
            parts = [
                (json.dumps(str(name), ensure_ascii=ascii_only) + ":", item)
                for name, item in each.items()
            ]
            _push(pending, parts)
            pending.append(_Written("{"))
        elif isinstance(each, list | tuple):
            pending.append(_Written("]"))
            _push(pending, [("", item) for item in each])
            pending.append(_Written("["))
        elif each is None or isinstance(each, str | bool):
            written.append(json.dumps(each, ensure_ascii=ascii_only))
        else:
            written.append(str(each))
    return "".join(written)


def each_as_json(values: Iterable[object]) -> list[str]:
    """Return what `as_json` does for each value: by Python's own writer, where that can say it."""
    marked: list[Decimal] = []

    def mark(number: object) -> str:
        if not isinstance(number, Decimal):
            raise TypeError
        marked.append(number)
        return f"{MARK}{number}{MARK}"

    writer = json.JSONEncoder(
        separators=(",", ":"), allow_nan=False, check_circular=False, default=mark
    )

    def written(value: object) -> str:
        marked.clear()
        try:
            text = writer.encode(value)
        except (TypeError, ValueError, RecursionError):
            return as_json(value)
        if not marked:
            return text
        if text.count(WRITTEN_MARK) != 2 * len(marked):  # it stands in a text, too
            return as_json(value)
        return text.replace(f'"{WRITTEN_MARK}', "").replace(f'{WRITTEN_MARK}"', "")

    return [written(value) for value in values]


MARK = "\ue000"
"""Stands around numbers with digits to be kept, which Python's writer takes for texts."""
WRITTEN_MARK = "\\ue000"


def _push(pending: list[object], parts: Sequence[tuple[str, object]]) -> None:
    """Put the parts of a container on the pile, the first on top, with what stands before each."""
    for index in range(len(parts) - 1, -1, -1):
        before, item = parts[index]
        pending += (item, _Written(("," if index else "") + before))


PAGE = "#page"
AT = "#at"
INDEX = "#index"
KEY = "#key"
DELETED = "#deleted"
"""Says of a record whether it is of a deleted row: only of a stream that can tell."""
FIELD = "#field"
RAW = "#raw"


def without(
    rows: pl.DataFrame, others: pl.DataFrame, on: Sequence[str] = (PAGE, INDEX)
) -> pl.DataFrame:
    """Return the rows, in their order, whose place is not that of one of the others."""
    if others.is_empty():
        return rows
    return rows.join(others, on=[*on], how="anti", maintain_order="left")


def fault_column(name: str) -> str:
    """Return the raw frame's column that holds why `name` could not be selected."""
    return f"{name}!"


RawFrame = pl.DataFrame
"""One row per record of a page. Its columns:

- one per field, named as the field: String, the value's text as the source sent it, or
  null where the source has nothing. JSON numbers keep their digits (`1.10` stays `1.10`,
  never an exponent), booleans read `true` and `false`, and for a `json` field the text is
  the value as JSON. A source that carries types itself (a database, a strictly typed
  decode) may give the column in the field type's own dtype instead: then it is not cast.
- `<field>!`: String, only there if some record needs it: the rule that selection broke
  (`json.container`, `select.type`, …), null for the others.
- `#page`, `#index`, `#at` (all UInt32): the page's number, the record's index in
  `Page.records` (for `Page.raw`), and its place as a person would count it (a file's line).

Raw records are not in the frame: `Page.raw` makes the few that are asked for.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Where the records went. `fetched` is always the sum of the others.

    `deferred` is negative where rows that waited in an earlier batch were
    settled. `noted`, `stubbed` and `deleted` stand outside of the sum: cells that were
    nulled with a note, parents inserted bare, and rows of the table that were there and
    are marked as deleted now, or removed.
    """

    fetched: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicate: int = 0
    filtered: int = 0
    deferred: int = 0
    rejected: int = 0
    noted: int = 0
    stubbed: int = 0
    deleted: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in COUNTED})

    @property
    def balanced(self) -> bool:
        return bool(self.fetched == sum(getattr(self, name) for name in OUTCOMES))


COUNTED = tuple(each.name for each in fields(Counts))
NOTHING = Counts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """How many pages were kept in the archive, with how many bytes, and how many others left it."""

    pages: int = 0
    bytes: int = 0
    dropped: int = 0

    def __add__(self, other: Archived) -> Archived:
        return Archived(
            pages=self.pages + other.pages,
            bytes=self.bytes + other.bytes,
            dropped=self.dropped + other.dropped,
        )


OUTCOMES = ("inserted", "updated", "unchanged", "duplicate", "filtered", "deferred", "rejected")
"""The places where a record can end, in the order of the accounting sum."""

REJECT_SCHEMA: dict[str, pl.DataType] = {
    "page": pl.UInt32(),
    "at": pl.UInt32(),
    "key": pl.String(),
    "reasons": pl.String(),
    "raw": pl.String(),
}
"""`Batch.rejects`: `reasons` is a JSON list of `Reason.as_json`; `key` is null if unknown."""

NOTE_SCHEMA: dict[str, pl.DataType] = {
    "page": pl.UInt32(),
    "at": pl.UInt32(),
    "key": pl.String(),
    "field": pl.String(),
    "rule": pl.String(),
    "value": pl.String(),
}
"""`Batch.notes`: cells that were nulled (or kept as text) by their field's rule."""


Parents = Callable[[Sequence[str] | None, int], Sequence[Mapping[str, str | None]]]
"""Gives the rows of a stream's parent, each column as text, in the order of their keys: so
many after the key given (its parts as texts), or from the first."""


def _no_parents(_after: Sequence[str] | None, _count: int) -> Sequence[Mapping[str, str | None]]:
    return ()


Distinct = Callable[[Any, str, int], Sequence[str]]
"""Gives the values of a table's column, each once, as texts in their order: so many at most."""


def _no_values(_table: Any, _column: str, _count: int) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where the reading of a stream starts.

    `position` is where an interrupted read left off. `since` are the cursors that were kept,
    by partition (see `Page.part`); `state` is what a reader that keeps its own stored last.
    `began` is the moment, in ISO 8601, when this read began, before any interruption.
    """

    position: str | None = None
    since: Mapping[str, str] = field(default_factory=dict)
    state: str | None = None
    began: str = ""
    parents: Parents = _no_parents
    values: Distinct = _no_values


GIVEN = "#given"
"""The entry of a record, or the beginning of a column's name, that holds the texts of fields
that the mapping gives a `value`: so they stay with the raw record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageAccount:
    """Where the records of a page went. `number` and `part` are the page's."""

    number: int
    part: str = ""
    counts: Counts = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The rows and rejects made from some pages; every record of them is in one of the parts.

    `rows` has the target's columns, typed, plus `#page`, `#index`, `#at` and
    `#key` (the key as one text), and perhaps `#deleted`; a key may be there several times.
    `read` has each page with what it fetched, and what of that the stream does not want;
    `sources` are the pages themselves, by their numbers. `position` is the last page's.
    `parts` names the pages' partitions, by their numbers; `cursor` is the last page's that
    has one. `gap` says why records that the source has may be missing, as a page's does;
    `older_than` is that of every page. `asked`, of a stream whose rows vanish by that for which
    it is read, names the keys of the rows for which all pages have come, and whether none of their
    records may be missing. `tried` are the ids of rejects, by the numbers of pages that have any.
    """

    rows: pl.DataFrame
    rejects: pl.DataFrame
    notes: pl.DataFrame
    read: tuple[PageAccount, ...]
    position: str | None
    sources: Mapping[int, Page]
    parts: Mapping[int, str] = field(default_factory=dict)
    cursor: str | None = None
    gap: str = ""
    asked: Mapping[str, bool] = field(default_factory=dict)
    older_than: frozenset[str] = frozenset()
    tried: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    whole: bool = False
    """Whether the read that it is of asks for everything that the stream ever asks for."""
    compiled: int = 0
    """How many of its records were never decoded one by one."""

    def raw(self, page: int, index: int) -> str:
        """Return a row's whole raw record."""
        return self.sources[page].raw(index)

    @property
    def fetched(self) -> int:
        return sum(page.counts.fetched for page in self.read)

    @property
    def filtered(self) -> int:
        return sum(page.counts.filtered for page in self.read)

    @property
    def pages(self) -> int:
        return len(self.read)
