"""What a plan will do, as EXPLAIN does for SQL: order, requests, tables, and each field's way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Any
from urllib.parse import unquote

from crmmap.declare import word
from crmmap.extract.enrich import sample_of
from crmmap.extract.json_quick import FORCED, obstacle
from crmmap.extract.partitions import sample
from crmmap.extract.request import first_request
from crmmap.kinds.actions import ACTIONS
from crmmap.kinds.auth import AUTH
from crmmap.kinds.clean import CLEAN
from crmmap.kinds.database import Query, Sql
from crmmap.kinds.formats import FORMATS
from crmmap.kinds.pagination import PAGINATION
from crmmap.kinds.responses import ResponseRule
from crmmap.kinds.shapes import SHAPES
from crmmap.kinds.source import SOURCES, Files, Http, Source
from crmmap.kinds.types import TYPES
from crmmap.kinds.writes import WRITES
from crmmap.plan import Enriching, FieldPlan, LookupPlan, Plan, Step
from crmmap.report.parts import Grid, Heading, Line, Part
from crmmap.report.wording import listed, number, plural
from crmmap.select.columnar import declined
from crmmap.select.compiled import CompiledSelector
from crmmap.select.elements import XPathSelector, unwalked
from crmmap.select.jmespath import JmespathSelector
from crmmap.spec.shapes import positional
from crmmap.values import GIVEN, as_json

Document = dict[str, Any]
LONGEST = 100
"""Characters of a request's parameter that the text shows; JSON has them all."""
MOST_OF_A_TYPE = 40
PLAIN = re.compile(r"[\w.%:/@-]+")


def plan_document(plan: Plan) -> Document:
    """Return a plan as JSON values; it names no secret, and no value of one.

    Raises SourceError where a request's template can't be rendered.
    """
    return {
        "mapping": plan.mapping,
        "title": plan.title,
        "sources": {name: _source(source) for name, source in plan.sources.items()},
        "streams": [_stream(plan, step) for step in plan.steps],
    }


def _source(source: Source) -> Document:
    if isinstance(source, Files):
        return {"kind": _word(source, SOURCES), "format": _described(source.format, FORMATS)}
    if isinstance(source, Sql):  # its address is secret
        return {"kind": _word(source, SOURCES), "fetch": source.fetch}
    return {
        "kind": _word(source, SOURCES),
        "base_url": source.base_url,
        "auth": _word(source.auth, AUTH),  # the word alone: what stands in it is secret
        "format": _described(source.format, FORMATS),
        "limits": [*_limits(source)],
        "responses": [_response(each) for each in source.responses],
    }


def _limits(source: Http) -> Iterator[str]:
    """Yield how often a source is asked at most, in words."""
    for rate in source.rate:
        where = f" of {rate.path}" if rate.path else ""
        yield f"{plural(rate.limit, 'request')} in {rate.per}{where}"
    if source.daily is not None:
        count = "what is left of them" if source.daily.limit is None else str(source.daily.limit)
        yield f"{count} a day"
    if source.concurrency is not None:
        yield f"{source.concurrency} at a time"


def _response(rule: ResponseRule) -> str:
    """Return a rule in words: `403, 404: skip`."""
    status = ", ".join(map(str, rule.status))
    headers = (f"{name} '{text}'" if text else name for name, text in rule.headers.items())
    body = () if rule.body is None else (rule.body.text,)
    conditions = " and ".join(each for each in (status, *headers, *body) if each)
    return f"{conditions}: {_described(rule.then, ACTIONS)}"


def _stream(plan: Plan, step: Step) -> Document:
    decoded = obstacle(step)
    return {
        "stream": step.name,
        "source": step.source_name,
        "skipped": step.absent or None,
        "after": list(step.parents),
        **_reading(plan, step),
        "table": step.target.table,
        "key": list(step.target.key),
        "latest": step.target.version,
        "first": step.target.first,
        "same_by": [list(rule) for rule in step.target.same_by],
        "write": _described(step.target.write, WRITES),
        "deletes": step.target.deletes,
        "deleted": {each.field: [rule.name for rule in each.rules] for each in step.tombstones},
        "batch": step.batch,
        "enrich": {each.name: _enriching(plan, step, each) for each in step.enriching},
        "fields_from": _finding(plan, step),
        "responses": [_response(each) for each in step.responses],
        "where": {each.field: [rule.name for rule in each.rules] for each in step.filters},
        "fields": [_field(step, each, decoded) for each in step.fields],
    }


def _reading(plan: Plan, step: Step) -> Document:
    if isinstance(step.source, Files):
        shape = [_described(each, SHAPES) for each in step.shape]
        records = step.records.text if step.records else None
        remembers = "files" if step.remembered else None
        return {"file": step.file, "records": records, "shape": shape, "remembers": remembers}
    if step.query is not None:
        return {"query": _query(step, step.query)}
    request = first_request(plan, step, sample(step))
    return {
        "request": {
            "method": request.method,
            "url": unquote(request.url),
            "params": dict(request.params),
            "body": request.body,
        },
        "records": step.records.text if step.records else None,
        "nested": [
            {"at": each.at, "pagination": _described(each.pagination, PAGINATION)}
            for each in step.nested
        ],
        "shape": [_described(each, SHAPES) for each in step.shape],
        "pages_of": step.pages_of,
        "pagination": _described(step.pagination, PAGINATION),
    }


def _enriching(plan: Plan, step: Step, each: Enriching) -> Document:
    asked = replace(step, request=each.spec.request, incremental=None)
    request = first_request(plan, asked, sample_of(step, each))
    return {
        "request": {"method": request.method, "url": unquote(request.url)},
        "on": {here.text: there.text for here, there in each.on},
        "batch": each.spec.batch,
        "missing": each.spec.missing,
        "on_failure": each.spec.on_failure,
    }


def _finding(plan: Plan, step: Step) -> Document | None:
    if step.finding is None:
        return None
    spec = step.finding.spec
    request = first_request(plan, replace(step, request=spec.request, incremental=None))
    return {
        "request": {"method": request.method, "url": unquote(request.url)},
        "from": spec.from_,
        "types": {name: _described(each, TYPES) for name, each in spec.types.items()},
        "most": spec.most,
    }


def _query(step: Step, query: Query) -> Document:
    return {
        "table": query.table,
        "select": query.select,
        "where": query.where,
        "columns": [*dict.fromkeys(
            name for names in step.headers for name in names if not name.startswith(GIVEN)
        )],
        "order": [*(query.order or _keys(step))],
        "cursor": None if step.incremental is None else step.incremental.field,
    }  # fmt: skip


def _keys(step: Step) -> Iterator[str]:
    """Yield the columns that the key is read from."""
    for field, names in zip(step.fields, step.headers, strict=True):
        if field.name in step.target.key and not names[0].startswith(GIVEN):
            yield names[0]


def _field(step: Step, field: FieldPlan, decoded: str | None) -> Document:
    lookup = next((each for each in step.lookups if each.field == field.name), None)
    return {
        "field": field.name,
        "type": _described(field.type, TYPES),
        "from": list(field.sources),
        "selected": _selected(step, field.name, decoded),
        "required": field.required,
        "default": field.default,
        "checks": [rule.name for rule in field.rules],
        "on_error": field.on_error,
        "lookup": None if lookup is None else _lookup(step, lookup),
    }


def _lookup(step: Step, lookup: LookupPlan) -> Document:
    held = any(each.column == lookup.field for each in step.target.foreign_keys)
    return {
        "stream": lookup.stream, "by": lookup.by, "missing": lookup.missing, "constraint": held,
    }  # fmt: skip


def _selected(step: Step, field: str, decoded: str | None) -> str:
    """Return how a field's value is taken: a file's `column`, `compiled`, or `exact` and why.

    `decoded` is why all records of the stream are decoded to values, if they are.
    """
    selector = step.selector
    if isinstance(selector, XPathSelector):
        element = next(each for each in selector.cells if each.field == field)
        why = unwalked(element) or (None if selector.walk else FORCED)
    elif isinstance(selector, CompiledSelector | JmespathSelector):
        cell = next(each for each in selector.cells if each.field == field)
        why = decoded or declined(cell)
    else:
        return "column"
    return f"exact: {why}" if why else "compiled"


def _word(value: object, table: Mapping[str, type]) -> str:
    return next(token for token, made in table.items() if made is type(value))


def _described(value: Any, table: Mapping[str, type]) -> str:
    """Return a kind as mappings write it, `decimal(14,2)`, without what is left at its default."""
    told = [
        each.name
        for each in fields(value)
        if each.default is MISSING or getattr(value, each.name) != each.default
    ]
    numbers = [each.name for each in positional(type(value))]
    # Numbers stand without their names, so that none can be left out beside another.
    first = (
        [",".join(str(getattr(value, name)) for name in numbers)] if {*told} & {*numbers} else []
    )
    said = first + [_said(word(name), getattr(value, name)) for name in told if name not in numbers]
    return _word(value, table) + (f"({', '.join(said)})" if said else "")


def _said(name: str, value: object) -> str:
    return name if value is True else f"{name}={_shown(value)}"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_shown(each) for each in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_shown(each)}" for name, each in value.items()) + "}"
    if type(value) in CLEAN.values():
        return _described(value, CLEAN)
    if is_dataclass(value) and not hasattr(value, "text"):
        told = [each.name for each in fields(value) if getattr(value, each.name) != each.default]
        return "(" + ", ".join(_said(word(name), getattr(value, name)) for name in told) + ")"
    text = str(getattr(value, "text", value))
    return text if PLAIN.fullmatch(text) else f"'{text}'"


# --- for people -----------------------------------------------------------------------------------


def plan_parts(document: Document) -> Iterator[Part]:
    """Yield what `plan_document` says, for people."""
    streams = document["streams"]
    title = document["title"]
    named = f" ({title})" if title != document["mapping"] else ""
    yield Line(f"{document['mapping']}{named}", "title")
    sources = document["sources"]
    for name, source in sources.items():
        yield Line(f"{f'{name}: ' if len(sources) > 1 else ''}{_source_line(source)}")
        if source.get("limits"):
            yield Line(f"   at most   {listed(source['limits'])}")
        yield from _answers(source)
    yield Line(f"{plural(len(streams), 'stream')}, {_order(streams)}")
    for place, stream in enumerate(streams, start=1):
        yield Line()
        yield from _stream_parts(place, stream)


def _source_line(source: Document) -> str:
    if "fetch" in source:
        return f"reads {source['kind']}, {number(source['fetch'])} rows to a page"
    if "base_url" not in source:
        return f"reads {source['kind']}, {source['format']}"
    auth = "without authentication" if source["auth"] == "none" else f"auth {source['auth']}"
    return f"reads {source['base_url']}, {source['kind']}, {auth}, {source['format']}"


def _answers(asked: Document) -> Iterator[Line]:
    """Yield the rules for the answers of a source, or of a stream."""
    for rule in asked.get("responses", ()):
        yield Line(f"   answers   {rule}")


def _order(streams: list[Document]) -> str:
    if any(stream["after"] for stream in streams):
        return "parents before those that look them up; the others side by side"
    return "side by side: none needs another's rows"


def _keeping(stream: Document) -> str:
    """Return which of the records that are the same stays, where that is not the last."""
    rules = (", ".join(rule) for rule in stream["same_by"])
    which = "; or else ".join(("; of one key", *rules))
    if stream["latest"]:
        return f"{which}, the greatest {stream['latest']} stays"
    return f"{which}, the first stays" if stream["first"] else ""


def _stream_parts(place: int, stream: Document) -> Iterator[Part]:
    yield Line(f"{place}. {stream['stream']} → {stream['table']}", "title")
    if stream["skipped"]:
        yield Line(f"   skipped   {stream['skipped']}")
    if stream["source"] != "source":
        yield Line(f"   source    {stream['source']}")
    if stream["after"]:
        yield Line(f"   after     {listed(stream['after'])}, which it needs")
    yield from (Line(f"   {line}") for line in _reading_lines(stream))
    yield from _answers(stream)
    yield Line(f"   key       {', '.join(stream['key'])}{_keeping(stream)}")
    yield from (Line(f"   {line}") for line in _writing_lines(stream))
    yield Line(f"   batch     about {number(stream['batch'])} rows to a transaction")
    for name, each in stream["enrich"].items():
        yield Line(f"   adds      {_asking_again(name, each)}")
    if stream["fields_from"] is not None:
        yield Line(f"   adds      {_adding(stream['fields_from'])}")
    if stream["where"]:
        conditions = (f"{field} ({', '.join(rules)})" for field, rules in stream["where"].items())
        yield Line(f"   only      records that pass {listed(conditions)}")
    yield Line()
    yield _fields_grid(stream["fields"])


def _writing_lines(stream: Document) -> Iterator[str]:
    """Yield how rows are written, where that is not usual, and what becomes of deleted ones."""
    if stream["write"] != "upsert":
        yield f"write     {stream['write']}"
    if stream["deleted"]:
        conditions = (f"{field} ({', '.join(rules)})" for field, rules in stream["deleted"].items())
        yield f"deleted   is the row of a record that passes {listed(conditions)}"
    if stream["deletes"] is not None:
        marked = "stay, and are marked in _crmmap_deleted_at"
        yield f"deletes   rows {marked if stream['deletes'] == 'soft' else 'are removed'}"


def _reading_lines(stream: Document) -> Iterator[str]:
    if "file" in stream:
        yield f"file      {stream['file'] or 'none given: the stream is skipped'}"
        return
    if "query" in stream:
        yield from _query_lines(stream["query"])
        return
    request = stream["request"]
    yield f"request   {request['method']} {request['url']}"
    for name, value in request["params"].items():
        yield f"            {name} = {_cut(value)}"
    if request["body"] is not None:
        yield f"            body {_cut(as_json(request['body']))}"
    yield f"records   {stream['records']}"
    for each in stream["nested"]:
        yield f"nested    {each['at']}, by {each['pagination']}"
    for at, each in enumerate(stream["shape"]):
        yield f"{'' if at else 'shape':<9} {each}"
    shared = f"; those of {stream['pages_of']}, asked for once" if stream["pages_of"] else ""
    yield f"pages     {stream['pagination']}{shared}"


def _asking_again(name: str, each: Document) -> str:
    request = each["request"]
    whom = "each record" if each["batch"] is None else plural(each["batch"], "record")
    return f"to each record, as {name}: {request['method']} {request['url']}, for {whom}"


def _adding(finding: Document) -> str:
    request = finding["request"]
    most = plural(finding["most"], "column")
    return f"at most {most}, once the run has asked {request['method']} {request['url']}"


def _query_lines(query: Document) -> Iterator[str]:
    if query["table"] is not None:
        yield f"query     {listed(query['columns'])} of {query['table']}"
    else:
        yield f"query     {_cut(' '.join(query['select'].split()))}"
    if query["where"] is not None:
        yield f"            where {_cut(' '.join(query['where'].split()))}"
    yield f"pages     by {', '.join(query['order'])}"
    if query["cursor"] is not None:
        yield f"            once there is a cursor, by {query['cursor']} and only from there on"


def _cut(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _fields_grid(every: list[Document]) -> Grid:
    titles = ("column", "type", "from", "selected", "checks", "on error", "lookup")
    rows = [_row(field) for field in every]
    # A column in which no field has anything to say is left out.
    used = [index for index in range(len(titles)) if any(row[index] for row in rows)]
    return Grid(
        headings=tuple(Heading(titles[index]) for index in used),
        rows=tuple(tuple(row[index] for index in used) for row in rows),
        indent=3,
    )


def _row(field: Document) -> tuple[str, ...]:
    judged = ["required"] if field["required"] else []
    judged += field["checks"]
    judged += [f"default {field['default']}"] if field["default"] is not None else []
    return (
        field["field"],
        _cut(field["type"], MOST_OF_A_TYPE),
        " or ".join(field["from"]),
        field["selected"],
        ", ".join(judged),
        field["on_error"],
        _lookup_text(field["lookup"]),
    )


def _lookup_text(lookup: Document | None) -> str:
    if lookup is None:
        return ""
    held = "; a foreign key" if lookup["constraint"] else ""
    return f"{lookup['stream']}.{lookup['by']}, else {lookup['missing']}{held}"
