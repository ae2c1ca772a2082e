"""`crmmap rejects list`, `show` and `drop`: what was refused, as the ledger knows it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from itertools import islice

import click

from crmmap.cli.mappings import known_secrets, read_all, refuse_unknown_streams
from crmmap.cli.once import own_name
from crmmap.cli.stores import kept_store
from crmmap.cli.surroundings import Surroundings
from crmmap.errors import ExitCode
from crmmap.load import Store
from crmmap.load import reject_queries as queries
from crmmap.load.reject_queries import Reject, State, Which
from crmmap.load.statements import Session
from crmmap.moments import moment
from crmmap.report.parts import rendered
from crmmap.report.rejects import (
    count_by,
    counts_document,
    counts_parts,
    list_parts,
    reject_document,
    whole_parts,
)
from crmmap.report.wording import plural

KINDS = {"open": "open reject", "resolved": "resolved reject", "all": "reject"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectsOrder:
    """What `crmmap rejects …` was asked to do. None is not given."""

    mappings: tuple[str, ...]
    streams: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    state: State | None = None
    before: str | None = None
    by: str | None = None
    limit: int = 50
    raw: bool = False
    everything: bool = False
    purge: bool = False
    dry_run: bool = False
    force: bool = False
    settings: tuple[str, ...] = ()
    quiet: bool = False
    store: str | None = None
    as_json: bool = False

    @property
    def several(self) -> bool:
        return len(self.mappings) > 1


def meant(order: RejectsOrder, surroundings: Surroundings, state: State) -> Which:
    """Return which rejects are meant. Raises MappingError or UsageError."""
    mappings = [found.mapping for found in read_all(order.mappings)]
    refuse_unknown_streams(mappings, order.streams)
    for mapping in mappings:
        surroundings.secrets.extend(known_secrets(mapping, surroundings.environment))
    try:
        before = None if order.before is None else moment(order.before)
    except ValueError as error:
        message = f"--before: {error}"
        raise click.UsageError(message) from None
    return Which(
        mappings=[mapping.name for mapping in mappings],
        streams=order.streams, runs=order.runs, fields=order.fields, rules=order.rules,
        ids=order.ids, state=order.state or state, before=before,
    )  # fmt: skip


def demand_ids(store: Store, which: Which) -> None:
    """Raise UsageError where an id that was given is of no reject that is meant, or of several."""
    if not which.ids:
        return
    found = [each.id for each in store.ask(lambda session: _all(session, which))]
    for asked in which.ids:
        alike = [each for each in found if each.startswith(asked)]
        if not alike:
            names = " or ".join(which.mappings)
            message = f"there is no {KINDS[which.state]} '{asked}' of {names}"
            raise click.UsageError(message)
        if len(alike) > 1:
            message = (
                f"{len(alike)} rejects have an id that begins with '{asked}'; write more of it"
            )
            raise click.UsageError(message)


def _all(session: Session, which: Which) -> list[Reject]:
    return list(queries.find_rejects(session, which))


# --- list and show --------------------------------------------------------------------------------


def list_rejects(order: RejectsOrder, surroundings: Surroundings) -> ExitCode:
    """Print the rejects that are meant, or how many there are of each kind."""
    which = meant(order, surroundings, "open")
    with kept_store(order.store, surroundings) as store:
        demand_ids(store, which)
        text = store.ask(lambda session: _list(session, which, order))
    surroundings.write(surroundings.clean(text))
    return ExitCode.OK


def _list(session: Session, which: Which, order: RejectsOrder) -> str:
    total = queries.count_rejects(session, which)
    if order.by is not None:
        counted = count_by(order.by, queries.find_rejects(session, which), several=order.several)
        if order.as_json:
            counts = counts_document(counted, order.by, several=order.several)
            return _json({"total": total, "counts": counts})
        parts = counts_parts(counted, order.by, total, which.state, several=order.several)
        return rendered(parts, sys.stdout)
    found = list(islice(queries.find_rejects(session, which, raw=order.raw), order.limit))
    if order.as_json:
        documents = [reject_document(each, raw=order.raw) for each in found]
        return _json({"total": total, "rejects": documents})
    return rendered(list_parts(found, total, which.state, several=order.several), sys.stdout)


def show_rejects(order: RejectsOrder, surroundings: Surroundings) -> ExitCode:
    """Print rejects whole, with their records."""
    which = meant(order, surroundings, "all")
    with kept_store(order.store, surroundings) as store:
        demand_ids(store, which)
        found = store.ask(lambda session: list(queries.find_rejects(session, which, raw=True)))
    if order.as_json:
        text = _json([reject_document(each, raw=True) for each in found])
    else:
        text = rendered(whole_parts(found), sys.stdout)
    surroundings.write(surroundings.clean(text))
    return ExitCode.OK


# --- drop -----------------------------------------------------------------------------------------


def drop_rejects(order: RejectsOrder, surroundings: Surroundings) -> ExitCode:
    """Resolve rejects as dropped, or purge the ledger of them, and say how many they were."""
    _refuse_too_much(order)
    which = meant(order, surroundings, "resolved" if order.purge else "open")
    with kept_store(order.store, surroundings) as store:
        demand_ids(store, which)
        count = store.ask(lambda session: _drop(session, which, order))
    verb = "purged" if order.purge else "dropped"
    if order.as_json:
        surroundings.write(_json({verb: count, "dry_run": order.dry_run}))
    else:
        will = f"would be {verb}" if order.dry_run else verb
        surroundings.write(f"{plural(count, f'{which.state} reject')} {will}\n")
    return ExitCode.OK


def _refuse_too_much(order: RejectsOrder) -> None:
    """Raise UsageError where it was not said what to drop, or where it can't be taken back."""
    said = (order.streams, order.runs, order.fields, order.rules, order.ids, order.before)
    if order.purge and order.before is None:
        message = "--purge removes rejects for good. Say those of which time: --before 2024-01-31"
        raise click.UsageError(message)
    if order.state is not None and not order.purge:
        message = "--state says what --purge removes; only open rejects are dropped"
        raise click.UsageError(message)
    if not any(said) and not order.everything:
        message = (
            "say which rejects to drop: --stream, --run, --field, --rule, --id or --before; "
            "--all drops all of them"
        )
        raise click.UsageError(message)


def _drop(session: Session, which: Which, order: RejectsOrder) -> int:
    if order.dry_run:
        return queries.count_rejects(session, which)
    if order.purge:
        return queries.purge_rejects(session, which)
    return queries.drop_rejects(session, which, own_name())


def _json(document: object) -> str:
    return json.dumps(document, indent=2) + "\n"
