"""From what a mapping says to what will happen: types settled, expressions built, steps ordered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import reduce
from itertools import dropwhile
from types import MappingProxyType

import polars as pl

from crmmap.kinds.checks import Check, rule_name
from crmmap.kinds.clean import IDLE, TIDYING, EmptyToNull, NullIf, Trim
from crmmap.kinds.database import Sql
from crmmap.kinds.durations import seconds
from crmmap.kinds.incremental import Cursorless, FileIdentity
from crmmap.kinds.limits import share_of
from crmmap.kinds.source import Http, Source
from crmmap.kinds.times import ZERO
from crmmap.kinds.types import Date, Datetime, Type
from crmmap.kinds.writes import Replace, Sweep
from crmmap.plan.absences import absences
from crmmap.plan.choices import settled
from crmmap.plan.digests import account_of, cursor_digest, fingerprint
from crmmap.plan.found import Found, with_found
from crmmap.plan.lookups import lookups_of, without_placeholders
from crmmap.plan.order import parents_of
from crmmap.plan.partitions import missing_values, parts_of
from crmmap.plan.reading import (
    expressions_of,
    selected_of,
    selection_of,
    selector_of,
    sources_of,
)
from crmmap.plan.rendering import Settings, render_declared, render_text, shown
from crmmap.plan.steps import (
    Changing,
    Enriching,
    Expectation,
    FieldPlan,
    Filter,
    Finding,
    FoundField,
    Plan,
    Rule,
    Step,
    Target,
)
from crmmap.plan.targets import target_of
from crmmap.select.jmespath import (
    compile_expression,
)
from crmmap.spec.deletions import fillers
from crmmap.spec.expectations import Expect
from crmmap.spec.freshness import dated_by
from crmmap.spec.languages import Language, by_columns, format_of, language_of
from crmmap.spec.model import Defaults, Enrich, Field, Stream
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.values import Secret

NOTHING_FOUND: Found = MappingProxyType({})


def compile_plan(
    mapping: MappingSpec,
    settings: Settings,
    found: Found = NOTHING_FOUND,
    *,
    only: tuple[str, ...] = (),
) -> Plan:
    """Compile a mapping that was read without problems. `settings` has a value for each setting.

    `found` are the fields that the source lists, of streams that have `fields_from`; `only` are
    the sources to read from, all by default.

    Touches nothing outside: no file, no network, no database. Raises SettingError where a template
    over the settings can't be rendered, and SourceError where the fields found can't be columns.
    """
    mapping = settled(mapping, settings)
    declared, mapping = mapping, with_found(mapping, found)
    types = {name: _types(stream, settings) for name, stream in mapping.streams.items()}
    whole = _Whole(
        mapping=mapping,
        settings=settings,
        types=types,
        targets={name: target_of(mapping, name, types) for name in mapping.streams},
        account=account_of(settings),
        sources={
            name: render_declared(source, settings) for name, source in mapping.every_source.items()
        },
        absent=absences(mapping, settings, only),
        declared=declared,
    )
    steps = tuple(
        _step(whole, name, parents) for name, parents in parents_of(mapping.streams).items()
    )
    return Plan(
        mapping=mapping.name,
        title=mapping.title or mapping.name,
        steps=steps,
        values=shown(settings),
        archive=mapping.archive,
        secrets=(
            *(each for each in settings.values() if isinstance(each, Secret)),
            *(each for source in whole.sources.values() for each in _passwords(source)),
        ),
    )


def _types(stream: Stream, settings: Settings) -> Mapping[str, Type]:
    return {field: render_declared(each.type, settings) for field, each in stream.fields.items()}


def _passwords(source: Source) -> Iterator[Secret]:
    """Yield the password in a database's address, which may come up without the address."""
    if isinstance(source, Sql):
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        with suppress(ArgumentError, ValueError):
            password = make_url(source.url.reveal()).password
            yield from [Secret(str(password))] if password else []


@dataclass(frozen=True, slots=True, kw_only=True)
class _Whole:
    """What the steps of one plan are compiled from."""

    mapping: MappingSpec
    settings: Settings
    types: Mapping[str, Mapping[str, Type]]
    targets: Mapping[str, Target]
    account: str
    sources: Mapping[str, Source]
    absent: Mapping[str, str]
    declared: MappingSpec
    """The mapping without the fields that were found."""


def _step(whole: _Whole, name: str, parents: tuple[str, ...]) -> Step:
    mapping, stream, types = whole.mapping, whole.mapping.streams[name], whole.types[name]
    source_name = mapping.source_name(stream)
    source = whole.sources[source_name]
    form = format_of(stream, source)
    language = language_of(form)
    columns = by_columns(form) and not isinstance(source, Http)
    expressions = {} if columns else expressions_of(stream, language)
    selected = {} if columns else selected_of(mapping, name, language)
    fields = stream.fields.items()
    return Step(
        name=name,
        target=whole.targets[name],
        selector=selector_of(
            stream,
            types,
            expressions,
            form,
            plain=[name for name, each in fields if _plain(mapping.defaults, each)],
            trimmed=[name for name, each in fields if _trimmed(mapping.defaults, each)],
        ),
        fields=tuple(
            replace(
                _field(field, each, types[field], mapping.defaults, key=field in stream.table.key),
                sources=sources_of(field, each)
                if columns
                else tuple(found.text for found in expressions[field]),
            )
            for field, each in stream.fields.items()
        ),
        lookups=lookups_of(mapping, name, whole.types, whole.targets),
        filters=tuple(
            Filter(field=field, rules=_rules(checks, field))
            for field, checks in stream.where.items()
        ),
        tombstones=tuple(
            Filter(field=field, rules=_rules(checks, field))
            for field, checks in stream.deleted.items()
        ),
        parents=parents,
        batch=mapping.defaults.batch,
        fingerprint=fingerprint(
            mapping, whole.settings, stream, account=whole.account, asked=selected
        ),
        source=source,
        filling=(name,)
        if isinstance(stream.table.write, Sweep)
        else tuple(fillers(mapping.streams, stream.table.name)),
        vouches=_vouches(mapping, whole.targets[name]),
        was=stream.was,
        source_name=source_name,
        absent=whole.absent.get(name) or missing_values(stream, whole.settings),
        request=stream.request,
        format=form,
        records=None if columns else language.records(stream.records),
        nested=stream.nested,
        shape=stream.shape,
        pages_of=stream.pages_of,
        pagination=None if columns else stream.pagination,
        max_pages=stream.max_pages,
        max_rejects=stream.max_rejects or mapping.defaults.max_rejects,
        expectation=_expectation(stream),
        responses=stream.responses,
        selected=selected,
        selection=selection_of(stream, expressions),
        file=None if stream.file is None else render_text(stream.file, whole.settings),
        query=render_declared(stream.query, whole.settings),
        headers=tuple(map(sources_of, stream.fields, stream.fields.values())) if columns else (),
        optional=frozenset(
            index
            for index, each in enumerate(stream.fields.values())
            if each.optional or each.value is not None
        ),
        given={
            field: each.value for field, each in stream.fields.items() if each.value is not None
        },
        parts=parts_of(stream, whole.targets[name], whole.targets, whole.settings),
        incremental=None
        if isinstance(stream.incremental, Cursorless)
        else render_declared(stream.incremental, whole.settings),
        remembered=stream.incremental.most if isinstance(stream.incremental, FileIdentity) else 0,
        changes=_changes(stream, language),
        cursor_of=cursor_digest(mapping, whole.settings, stream),
        finding=_finding(whole, name, parents),
        enriching=tuple(_enriching(each, spec) for each, spec in stream.enrich.items()),
        keeps=stream.archive or mapping.archive.keep,
    )


def _vouches(mapping: MappingSpec, target: Target) -> tuple[str, ...]:
    """Return the streams whose records a complete read of the target must meet.

    Not those whose keys only lookups tell: what waits is known by what the source sends.
    """
    if not (target.vanishing or isinstance(target.write, Replace)):
        return ()
    owners = fillers(mapping.streams, target.table)
    return tuple(name for name in owners if _sends_its_key(mapping, mapping.streams[name]))


def _sends_its_key(mapping: MappingSpec, stream: Stream) -> bool:
    """Say whether a row's key is what the source sends for it."""
    lookups = (stream.fields[field].lookup for field in stream.table.key)
    return all(
        each is None or each.by in (None, mapping.streams[each.stream].table.key[0])
        for each in lookups
    )


def _plain(defaults: Defaults, field: Field) -> bool:
    """Say whether nothing changes the digits of a number."""
    tidied = all(isinstance(step, TIDYING) for step in (*defaults.clean, *field.clean))
    return tidied and field.lookup is None


def _trimmed(defaults: Defaults, field: Field) -> bool:
    """Say whether a text of nothing but white space is no value before all else."""
    return (*defaults.clean, *field.clean)[:2] == (Trim(), EmptyToNull())


def _expectation(stream: Stream) -> Expectation | None:
    expect = stream.expect
    if expect == Expect():
        return None
    fresh = expect.freshness
    return Expectation(
        min_rows=expect.min_rows,
        max_drop=None if expect.max_drop is None else share_of(expect.max_drop),
        freshness=None if fresh is None else seconds(fresh.within),
        dated="" if fresh is None else dated_by(stream) or "",
    )


def _enriching(name: str, spec: Enrich) -> Enriching:
    return Enriching(
        name=name,
        spec=spec,
        records=compile_expression(spec.records),
        on=tuple(
            (compile_expression(here), compile_expression(there)) for here, there in spec.on.items()
        ),
    )


def _finding(whole: _Whole, name: str, parents: tuple[str, ...]) -> Finding | None:
    spec = whole.declared.streams[name].fields_from
    if spec is None:
        return None

    def compiled(found: Sequence[FoundField]) -> Step:
        mapping = with_found(whole.declared, {name: found})
        types = {**whole.types, name: _types(mapping.streams[name], whole.settings)}
        # Fields that are found have no lookups, so that they change no other stream's table.
        targets = {**whole.targets, name: target_of(mapping, name, types)}
        grown = replace(whole, mapping=mapping, types=types, targets=targets)
        return _step(grown, name, parents)

    return Finding(spec=spec, records=compile_expression(spec.records), compiled=compiled)


def _changes(stream: Stream, language: Language) -> Changing | None:
    changes = stream.changes
    if changes is None or stream.request is None:
        return None
    return Changing(
        request=changes.request or stream.request,
        records=language.records(changes.records or stream.records),
        pagination=changes.pagination or stream.pagination,
    )


def _field(name: str, field: Field, type_: Type, defaults: Defaults, *, key: bool) -> FieldPlan:
    text = pl.col(name)
    steps = (*defaults.clean, *field.clean)
    if isinstance(type_, Date | Datetime) and type_.zero == "null":
        steps = (*steps, NullIf(value=ZERO))
    needed = dropwhile(lambda step: isinstance(step, IDLE), steps)
    clean, clean_neat = (
        reduce(lambda each, step: step.apply(each), some, text) for some in (steps, needed)
    )
    if field.lookup is not None:
        none = field.lookup.none or ()
        clean, clean_neat = (without_placeholders(e, none, type_) for e in (clean, clean_neat))
    required = field.required or key
    return FieldPlan(
        name=name,
        type=type_,
        clean=clean,
        clean_neat=clean_neat,
        read=type_.read(text),
        rules=_rules(field.check, name),
        required=required,
        on_error="reject" if required else field.on_error or defaults.on_error,
        default=field.default,
        sources=sources_of(name, field),
    )


def _rules(checks: tuple[Check, ...], name: str) -> tuple[Rule, ...]:
    return tuple(Rule(name=rule_name(check), passes=check.passes(pl.col(name))) for check in checks)
