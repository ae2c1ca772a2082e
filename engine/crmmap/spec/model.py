"""What a mapping says: frozen dataclasses, one per piece of the language.

They are the only declaration. The JSON Schema (`crmmap schema`), the defaults
and the reference page are made from them; see `crmmap.declare` for how.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from crmmap.declare import Json, Kind, Limits, OneOrMany, SettingText, Shorthand, Words
from crmmap.kinds.checks import CHECKS, Check
from crmmap.kinds.clean import CLEAN, Clean, EmptyToNull, Trim
from crmmap.kinds.database import Query
from crmmap.kinds.durations import DURATION
from crmmap.kinds.formats import FORMATS, Format
from crmmap.kinds.incremental import INCREMENTAL, Incremental
from crmmap.kinds.limits import RejectLimit
from crmmap.kinds.pagination import PAGINATION, Single
from crmmap.kinds.paging import Pagination
from crmmap.kinds.responses import ResponseRule
from crmmap.kinds.shapes import SHAPES
from crmmap.kinds.shaping import WITHIN, Shape
from crmmap.kinds.source import SOURCES, Source
from crmmap.kinds.types import TYPES, Text, Type
from crmmap.kinds.writes import WRITES, Deletes, Upsert, Write
from crmmap.spec.duplicates import Dedupe
from crmmap.spec.expectations import Expect
from crmmap.spec.partitions import NAME, ForEach, Name
from crmmap.template import Template
from crmmap.values import Expression, Path

OnError = Literal["reject", "null_and_note", "keep_text"]
Missing = Literal["null", "reject", "stub", "wait"]
PATIENT: frozenset[Missing] = frozenset({"stub", "wait"})
"""What a lookup does that need not come after its parent: so circles of lookups can be run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a user supplies: nothing else varies between installations."""

    env: Annotated[str | None, "Environment variable that holds the value."] = None
    default: Annotated[str | None, "Value where the user gives none."] = None
    secret: Annotated[bool, "Never shown, and allowed only where requests are signed."] = False
    required: Annotated[bool, "False: may be left out, and is then empty text."] = True
    was: Annotated[
        tuple[Name, ...], OneOrMany(),
        "Names that it had before, the latest first: `--set` still takes them.",
    ] = ()  # fmt: skip
    help: Annotated[str, "What it is and where the user finds it."] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A list in a request that is too long for one: the request is sent several times.

    Each has a stretch of the list, and all else alike; what they bring is merged, record by
    record. A record that does not come with every stretch is asked for once more, with its page,
    and then rejected (`split.incomplete`): what is missing of it must not look empty. The pages
    follow from the answers to the first stretch.
    """

    param: Annotated[
        str | None, "The query parameter with the list: a text with commas.", Limits(min_length=1)
    ] = None
    body: Annotated[
        str | None,
        "Or the entry of the JSON body with the list: `properties`, or `query.fields`.",
        Limits(min_length=1),
    ] = None
    by: Annotated[Expression, "JMESPath to what tells the records of a page apart."]
    most: Annotated[int, "Items to a request.", Limits(minimum=1)] = 100
    longest: Annotated[
        int, "Characters of a stretch, as they are sent.", Limits(minimum=100, maximum=60_000)
    ] = 7000

    def __post_init__(self) -> None:
        if (self.param is None) == (self.body is None):
            message = "the list is in one place: write `param` or `body`"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSpec:
    """The request for a stream's first page; pagination makes the later ones from it."""

    path: Annotated[Template, "Added to the source's base_url."]
    method: Annotated[Literal["GET", "POST"], "HTTP method."] = "GET"
    params: Annotated[MappingOf[str, Template], "Query parameters."] = field(default_factory=dict)
    headers: Annotated[MappingOf[str, Template], "Sent with this stream's requests."] = field(
        default_factory=dict
    )
    body: Annotated[
        Json,
        "JSON body, for POST. In it `{each: parents, give: {id: '{{ item.id }}'}}` is a list with "
        "one item for each parent of a batch (`each: records` in `enrich`); `each: "
        "selected.properties` takes the names that the fields read, `each: settings.NAME` the "
        "parts of a setting between commas, as they are if there is no `give`. "
        "`{text: '{{ cursor | epoch_ms }}', as: number}` is a number (or `as: boolean`). "
        "`{{ graphql() }}` is all that the fields read, as GraphQL selects it: "
        "`id owner { name }`.",
    ] = None
    safe: Annotated[bool, "Of a POST: sending it twice does no harm (a search)."] = False
    omit_empty: Annotated[
        bool, "Leave out parameters and headers whose text is empty: `{{ settings.team }}` of a "
        "setting that nobody gave, or `{{ 'yes' if settings.all == 'true' else '' }}`.",
    ] = False  # fmt: skip
    unescaped: Annotated[
        str,
        "Characters that parameters are sent with as they are, for a source that does not "
        "understand them escaped: `:,`.",
        Limits(pattern=r"^[!$'()*,/:;?@\[\]~]*$"),
    ] = ""
    split: Annotated[
        Split | None, "A list in it that is too long for one request, such as that of properties."
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The table that a stream fills."""

    name: Annotated[Name, "The table's name."]
    key: Annotated[
        tuple[Name, ...], OneOrMany(), Limits(min_items=1), "Fields that identify a row."
    ]
    write: Annotated[Write, Kind("write", WRITES), "How rows are written into it."] = Upsert()
    deletes: Annotated[
        Deletes | None,
        "What becomes of a row that is deleted: `soft`, which is the default: it stays, and "
        "`_crmmap_deleted_at` says since when; `hard`: it is removed. It is said once per table.",
    ] = None
    comment: Annotated[str, "What one row is."] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A foreign key: the field's value is looked up in the table that another stream fills.

    Texts are compared as the parent's field would hold them, tidied and in its type's own writing:
    `Ann@B.Example` finds `ann@b.example`. The field then holds the parent's key. A parent that is
    marked as deleted is a parent still.
    """

    stream: Annotated[str, "The parent stream."]
    by: Annotated[
        str | None,
        "The parent's field to compare with; its key by default. It must be unique: where several "
        "rows have the value, the one with the least key is taken, and the run says so.",
    ] = None
    missing: Annotated[
        Missing | None,
        "Where no parent is found: `null` the field; `reject` the record; `stub`: insert a parent "
        "that has only its key, filled in when it arrives; `wait`: hold the row back and try "
        "again at the end of the run, and of later runs. As in `defaults` by default.",
    ] = None
    wait_for: Annotated[
        str | None,
        "With `wait`: a record for which no parent has come for so long is rejected. As in "
        "`defaults` by default.",
        Limits(pattern=DURATION),
    ] = None
    none: Annotated[
        tuple[str, ...] | None, OneOrMany(),
        "Texts that mean that there is no parent, like 0, and other writings of the same value, "
        "like 0.0. Empty text always does. As in `defaults` by default.",
    ] = None  # fmt: skip
    constraint: Annotated[
        bool | None,
        "Have the database hold it, too, by a FOREIGN KEY constraint to the parent's key. As in "
        "`defaults` by default.",
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookups:
    """What holds for every lookup that says nothing else."""

    missing: Annotated[Missing, "What happens where no parent is found."] = "null"
    wait_for: Annotated[
        str | None,
        "With `wait`: a record for which no parent has come for so long is rejected: `30d`. "
        "Without it, records wait until one comes.",
        Limits(pattern=DURATION),
    ] = None
    none: Annotated[
        tuple[str, ...], OneOrMany(), "Texts that mean that there is no parent, like 0 and -1."
    ] = ()  # fmt: skip
    constraint: Annotated[
        bool,
        "Have the database hold foreign keys, too, by FOREIGN KEY constraints. A row that others "
        "refer to can't be deleted then, by nobody. SQLite gives them to new tables and columns "
        "only.",
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One column: where its value comes from, and what is done to it.

    In this order: select, clean, cast to the type, check, fill in the default,
    required, lookup.
    """

    from_: Annotated[
        tuple[str, ...], OneOrMany(), Limits(min_items=1),
        "Where the value stands: JMESPath in a JSON record, XPath in an XML one, a header in a "
        "file, a column of a database. "
        "Of several, the first that is not empty.",
    ] = ()  # fmt: skip
    value: Annotated[
        Template | None,
        "Instead of `from`: a text that does not stand in the record, like `{{ parent.id }}` or "
        "`{{ partition.region }}` (of `for_each`), `{{ settings.account }}`, or a constant.",
    ] = None
    type: Annotated[Type, Kind("type", TYPES), "The type of the column."] = Text()
    clean: Annotated[
        tuple[Clean, ...], Words("clean", CLEAN, as_list=True),
        "Steps that tidy the text, after those in `defaults`.",
    ] = ()  # fmt: skip
    check: Annotated[
        tuple[Check, ...], Words("check", CHECKS, as_list=False), "What a value must satisfy."
    ] = ()
    default: Annotated[str | None, "Written like a source's value, for where there is none."] = None
    required: Annotated[bool, "A record without a value is rejected."] = False
    optional: Annotated[
        bool, "Of a file or a database: the header or the column may be missing altogether."
    ] = False
    on_error: Annotated[
        OnError | None,
        "A value that its type or checks refuse: `reject` the record; `null_and_note`: leave "
        "the cell empty and note the value; `keep_text`: keep the text (of text types) and note "
        "it. As in `defaults` by default.",
    ] = None
    lookup: Annotated[Lookup | None, Shorthand("stream"), "The field is a foreign key."] = None
    tags: Annotated[tuple[str, ...], "Words for readers and policies, such as `pii`."] = ()
    comment: Annotated[str, "What the column means."] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """How to ask once a cursor is known, where that differs from reading all."""

    request: Annotated[RequestSpec | None, "Instead of the stream's request."] = None
    records: Annotated[str | None, "Instead of the stream's `records`."] = None
    pagination: Annotated[
        Pagination | None, Kind("pagination", PAGINATION), "Instead of the stream's pagination."
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrich:
    """A second request for the records of a page; what it finds is put into each under a name.

    Templates of the request have `records`, the records it asks for, or `record` where it asks for
    one: `{{ records | map('id') | join(',') }}`, or `{each: records, give: …}` in a body. The
    fields then read what was found like any other part of the record: `companies.to[0].id`.
    """

    request: Annotated[RequestSpec, "The request for what belongs to the records."]
    on: Annotated[
        MappingOf[str, str],
        "JMESPath in a record → JMESPath in what is found: they belong together where both give "
        "the same text or number: `{id: from.id}`.",
    ]
    batch: Annotated[
        int | None, "Records to one request; without it, each has its own.", Limits(1, 10_000)
    ] = None
    records: Annotated[
        str, "JMESPath to the list of what is found; `@` if the answer is the list."
    ] = "@"
    pagination: Annotated[
        Pagination, Kind("pagination", PAGINATION), "How the next page of it is asked for."
    ] = Single()
    many: Annotated[
        bool, "Put a list of all that is found for a record under the name, not the one that is."
    ] = False
    missing: Annotated[
        Literal["null", "reject"], "Of a record for which nothing is found: leave it empty, or "
        "`reject` it.",
    ] = "null"  # fmt: skip
    on_failure: Annotated[
        Literal["fail", "reject", "skip"],
        "Where the request fails: `fail` the stream; `reject` the records it was for; `skip`: take "
        "it that nothing was found, and report it. Credentials that are refused, a source that "
        "can't be reached and one that asks to wait longer always fail the stream.",
    ] = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How the column of a field that the source listed is called: after the field.

    What is no letter, digit or `_` becomes `_`. A name that is too long is cut, and ends in a
    digest of the whole.
    """

    case: Annotated[
        Literal["snake", "keep"], "`snake`: `FirstName` becomes `first_name`. `keep`: as it is."
    ] = "snake"
    prefix: Annotated[str, "Stands before each name.", Limits(pattern="^[A-Za-z0-9_]{0,20}$")] = ""
    longest: Annotated[int, "Characters of a name.", Limits(minimum=20, maximum=63)] = 63
    clash: Annotated[
        Literal["refuse", "digest"],
        "Where two fields would have one column, or one would have that of a declared field: "
        "`refuse`: the stream fails and says which; `digest`: each found one gets a digest of its "
        "own name at the end, and so keeps its column whatever else is found later.",
    ] = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldsFrom:
    """Columns that the source itself lists: the custom properties of an account.

    They are asked for once in a run, before the stream is read, and added to the declared fields:
    `selected` gives them too. A field that a declared one reads already is not added again. New
    columns are added to a table that is there; a column whose field is gone stays, and is not
    written any more; one whose field has another type now fails the stream, which says what to do.
    """

    request: Annotated[RequestSpec, "The request for the list."]
    types: Annotated[
        MappingOf[str, Annotated[Type, Kind("type", TYPES)]],
        "The source's word for a type → the column's type. A field of a type that is not here is "
        "kept as text, and the run says so.",
    ]
    records: Annotated[
        str, "JMESPath to the list in the answer; `@` if the answer is the list."
    ] = "@"
    pagination: Annotated[
        Pagination, Kind("pagination", PAGINATION), "How the list's next page is asked for."
    ] = Single()
    name: Annotated[Expression, "JMESPath to a field's name in an item of the list."]
    type: Annotated[Expression, "JMESPath to the word for its type."]
    from_: Annotated[
        str,
        "JMESPath to its value in a record, with `{name}` for its name: `properties.{name}`, or "
        "`fields[?id=='{name}'].value | [0]`.",
    ] = "{name}"
    column: Annotated[Naming, "How its column is called."] = Naming()
    only: Annotated[
        tuple[str, ...], OneOrMany(), "Patterns of names, `*` for any text: no others are added."
    ] = ()
    except_: Annotated[
        tuple[str, ...], OneOrMany(), "Patterns of names that are not added."
    ] = ()  # fmt: skip
    on_error: Annotated[
        Literal["reject", "null_and_note"], "What happens to a value that its type refuses."
    ] = "null_and_note"
    most: Annotated[
        int, "Columns to add. If there are more, the stream fails before it is read.",
        Limits(minimum=1, maximum=1500),
    ] = 500  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested:
    """A list within each record that the source sends in pieces: the further ones are added.

    `at` names the object in the record that holds the list and what leads to its next piece (`@`:
    the record itself); the pagination looks there, and then in the answers. A record whose list is
    whole costs no request. `shape` comes after it, and so may explode the list.
    """

    at: Annotated[str, "Where the object is: names with dots, or `@`.", Limits(pattern=WITHIN)]
    records: Annotated[str, "The name of the list in it.", Limits(pattern=NAME)]
    request: Annotated[
        RequestSpec, "The request for a piece; it may name `{{ record.id }}`, and what is below."
    ]
    pagination: Annotated[
        Pagination, Kind("pagination", PAGINATION), "How the next piece is asked for."
    ]
    answer: Annotated[
        Expression | None,
        "JMESPath to an object like that at `at`, in an answer; the whole answer by default.",
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One kind of record: where it is read, what its fields are, which table it fills."""

    table: Annotated[Table, "The table that it fills."]
    fields: Annotated[MappingOf[Name, Annotated[Field, Shorthand("from_")]], "Its columns."]
    request: Annotated[RequestSpec | None, "Of an HTTP source: the request."] = None
    source: Annotated[
        str | None, "Of several sources: the one that it is read from; the first by default."
    ] = None
    was: Annotated[
        tuple[Name, ...], OneOrMany(),
        "Names that it had before, the latest first: it goes on from the cursor that it had then, "
        "and takes over the records that wait.",
    ] = ()  # fmt: skip
    instead_of: Annotated[
        str | None,
        "Another stream that fills the same table: this one is read instead of it where this "
        "one's source is there.",
    ] = None
    when: Annotated[
        SettingText | None,
        "A template over the settings: where it renders to nothing, the stream is skipped.",
    ] = None
    pages_of: Annotated[
        str | None,
        "Another stream, whose answers hold this one's records too. It takes over how that one is "
        "asked (`request`, `pagination`, `for_each`, `incremental`, `responses`) and runs after "
        "it; an answer that came in the same run is not asked for again. `selected` in the "
        "request gives what both read.",
    ] = None
    file: Annotated[
        SettingText | None,
        "Of a file source: a path, a pattern, or a directory. Where it renders to nothing, the "
        "stream is skipped.",
    ] = None
    format: Annotated[Format | None, Kind("format", FORMATS), "Instead of the source's format."] = (
        None
    )
    query: Annotated[Query | None, "Of a database: what is read from it."] = None
    records: Annotated[
        str,
        "JMESPath to the list of records in an answer; `@` if the answer is the list. Of XML: the "
        "way from the root to the record elements, `/a:feed/a:entry`.",
    ] = "@"
    nested: Annotated[
        tuple[Nested, ...], "Lists in the records that the source sends in pieces of their own."
    ] = ()
    shape: Annotated[
        tuple[Shape, ...], Words("shape", SHAPES, as_list=True),
        "Steps that make records of what `records` finds: of the entries of a map, of rows and "
        "their header, of the items of a nested list, … Then `fetched` counts what they make.",
    ] = ()  # fmt: skip
    pagination: Annotated[
        Pagination, Kind("pagination", PAGINATION), "How the next page is asked for."
    ] = Single()
    max_pages: Annotated[
        int,
        "Pages after which a read, of one partition, is taken to have no end, and stops.",
        Limits(minimum=1),
    ] = 100_000
    responses: Annotated[
        tuple[ResponseRule, ...], "Rules for its answers, before those of the source."
    ] = ()
    for_each: Annotated[ForEach | None, "What it is read for, partition by partition."] = None
    incremental: Annotated[
        Incremental | None, Kind("incremental", INCREMENTAL),
        "What need not be read again; without it, all is.",
    ] = None  # fmt: skip
    changes: Annotated[Changes | None, "How to ask once a cursor is known."] = None
    enrich: Annotated[
        MappingOf[Name, Enrich], "Name → a second request for the records of each page."
    ] = field(default_factory=dict)
    fields_from: Annotated[
        FieldsFrom | None, "Columns that the source lists, beside those in `fields`."
    ] = None
    where: Annotated[
        MappingOf[str, Annotated[tuple[Check, ...], Words("check", CHECKS, as_list=False)]],
        "Field → checks. Records that don't pass are left out and counted as filtered.",
    ] = field(default_factory=dict)
    deleted: Annotated[
        MappingOf[str, Annotated[tuple[Check, ...], Words("check", CHECKS, as_list=False)]],
        "Field → checks. A record that passes all, with a value in each, says that its row is "
        "deleted: `{archived: {one_of: [true]}}`. It needs no more than the key: what it has no "
        "value for stays as it is stored, even where one is required.",
    ] = field(default_factory=dict)
    max_rejects: Annotated[
        RejectLimit | None, Shorthand("share", number="count"),
        "Records that may be rejected before the stream stops: `100`, or `5%`. As in `defaults` by "
        "default.",
    ] = None  # fmt: skip
    expect: Annotated[Expect, "What a read must bring."] = Expect()
    dedupe: Annotated[Dedupe, "Which of several records that are the same is kept."] = Dedupe()
    archive: Annotated[
        Keep | None, "Which of its pages are kept as they were read, if not as the mapping says."
    ] = None
    comment: Annotated[str, "What the stream holds."] = ""

    @property
    def requests(self) -> MappingOf[Path, RequestSpec]:
        """Every request that the stream may make, by where in it that stands."""
        changing = None if self.changes is None else self.changes.request
        finding = None if self.fields_from is None else self.fields_from.request
        every: dict[Path, RequestSpec | None] = {
            ("request",): self.request,
            ("changes", "request"): changing,
            ("fields_from", "request"): finding,
        }
        every |= {("enrich", name, "request"): each.request for name, each in self.enrich.items()}
        every |= {("nested", at, "request"): each.request for at, each in enumerate(self.nested)}
        return {path: each for path, each in every.items() if each is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What holds for every stream and field that says nothing else."""

    batch: Annotated[
        int,
        "Rows written in one transaction, about; pages of large records count as one for each "
        "2 KiB.",
        Limits(1, 1_000_000),
    ] = 10_000
    clean: Annotated[
        tuple[Clean, ...], Words("clean", CLEAN, as_list=True), "Steps for every field."
    ] = (Trim(), EmptyToNull())
    on_error: Annotated[OnError, "What happens to a value that can't be stored."] = "reject"
    lookup: Annotated[Lookups, "How foreign keys are looked up."] = Lookups()
    max_rejects: Annotated[
        RejectLimit | None, Shorthand("share", number="count"),
        "Records of a stream that may be rejected before it stops: `100`, or `5%`; any number "
        "without it.",
    ] = None  # fmt: skip


Keep = Literal["none", "rejects", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Pages kept as they were read, so that tables can be made from them again: `crmmap remap`.

    They are kept, compressed, in the store's table `crmmap_archive`, in the transaction that loads
    them. A record in which a secret stands is not kept. The oldest pages are dropped first.
    """

    keep: Annotated[Keep, "Which pages: none, those with a reject, or all."] = "rejects"
    megabytes: Annotated[
        int, "How much is kept of the mapping, compressed, in megabytes.", Limits(minimum=1)
    ] = 1024
    days: Annotated[int, "For how long; a run drops what is older.", Limits(minimum=1)] = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """One CRM, whole: its settings, its source or sources, and its streams."""

    crmmap: Annotated[Literal[1], "The version of this language."]
    name: Annotated[Name, "Short name; the ledger knows the mapping by it."]
    streams: Annotated[MappingOf[Name, Stream], "The kinds of record, by name."]
    source: Annotated[Source | None, Kind("source", SOURCES), "Where records come from."] = None
    sources: Annotated[
        MappingOf[Name, Annotated[Source, Kind("source", SOURCES)]],
        "Instead of `source`, several by name. One of which a setting has no value is not there: "
        "its streams are skipped.",
    ] = field(default_factory=dict)
    title: Annotated[str, "Name for people."] = ""
    settings: Annotated[MappingOf[Name, Setting], "What the user supplies."] = field(
        default_factory=dict
    )
    defaults: Annotated[Defaults, "What holds for every stream and field."] = Defaults()
    archive: Annotated[
        Archive, Shorthand("keep"), "Which pages are kept as they were read, and for how long."
    ] = Archive()

    @property
    def every_source(self) -> MappingOf[str, Source]:
        """The sources by name: the only one is called `source`."""
        return self.sources if self.source is None else {"source": self.source}

    def source_name(self, stream: Stream) -> str:
        """Return the name of a stream's source; empty where there is none."""
        return stream.source or next(iter(self.every_source), "")

    def source_of(self, stream: Stream) -> Source | None:
        """Return a stream's source; None where the mapping has none of that name."""
        return self.every_source.get(self.source_name(stream))

    def asked(self, stream: Stream) -> Stream:
        """Return a stream with what it takes over from the one whose pages it reads."""
        other = self.streams.get(stream.pages_of or "")
        if other is None:
            return stream
        return replace(
            stream, source=other.source, request=other.request, pagination=other.pagination,
            responses=other.responses, for_each=other.for_each, incremental=other.incremental,
            changes=other.changes, nested=other.nested,
        )  # fmt: skip

    def source_path(self, name: str) -> tuple[str, ...]:
        """Return where a source stands."""
        return ("source",) if self.source is not None else ("sources", name)
