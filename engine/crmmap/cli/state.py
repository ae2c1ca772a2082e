"""`crmmap state …`: how far streams have been read, looked at and changed by hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from crmmap.cli.jobs import Job, plan_of
from crmmap.cli.mappings import (
    Found,
    given_settings,
    read_all,
    refuse_unknown_settings,
    refuse_unknown_streams,
    settings_for,
)
from crmmap.cli.once import own_name
from crmmap.cli.stores import kept_store
from crmmap.cli.surroundings import Surroundings
from crmmap.errors import CrmmapError, ExitCode
from crmmap.load import Store
from crmmap.load.state import StreamState, put_state, states_of
from crmmap.load.statements import Session
from crmmap.loop.given_cursors import kept_cursors, with_cursor
from crmmap.plan import Plan
from crmmap.report.parts import rendered
from crmmap.report.state import VERSION, state_document, state_parts

States = Mapping[str, StreamState]
EMPTY = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateOrder:
    """What `crmmap state …` was asked to do."""

    mapping: str
    streams: tuple[str, ...] = ()
    value: str = ""
    partition: str | None = None
    everything: bool = False
    file: str = "-"
    dry_run: bool = False
    settings: tuple[str, ...] = ()
    store: str | None = None
    as_json: bool = False


def _found(order: StateOrder) -> Found:
    found = read_all([order.mapping])[0]
    refuse_unknown_streams([found.mapping], order.streams)
    return found


# --- looking --------------------------------------------------------------------------------------


def show_state(order: StateOrder, surroundings: Surroundings) -> ExitCode:
    """Print how far each stream has been read."""
    found = _found(order)
    states = _states(order, found, surroundings)
    if order.as_json:
        text = _json(state_document(found.mapping.name, states))
    else:
        text = rendered(state_parts(states, [*found.mapping.streams]), sys.stdout)
    surroundings.write(surroundings.clean(text))
    return ExitCode.OK


def export_state(order: StateOrder, surroundings: Surroundings) -> ExitCode:
    """Write the state as JSON, on standard output or into a file."""
    found = _found(order)
    text = _json(state_document(found.mapping.name, _states(order, found, surroundings)))
    if order.file == "-":
        surroundings.write(text)
        return ExitCode.OK
    try:
        Path(order.file).write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"{order.file}: can't be written ({error.strerror})"
        raise CrmmapError(message) from None
    return ExitCode.OK


def _states(
    order: StateOrder, found: Found, surroundings: Surroundings
) -> dict[str, StreamState | None]:
    """Return the states of the streams asked for, those of the mapping first, in its order."""
    with kept_store(order.store, surroundings) as store:
        known = store.ask(lambda session: states_of(session, found.mapping.name))
    names = [*found.mapping.streams, *(name for name in known if name not in found.mapping.streams)]
    return {name: known.get(name) for name in names if not order.streams or name in order.streams}


# --- changing -------------------------------------------------------------------------------------

Change = Callable[[States], Iterator[StreamState]]
"""Yields the states that are to be, of those that are."""


def set_state(order: StateOrder, surroundings: Surroundings) -> ExitCode:
    """Give one stream a cursor, from which the next run goes on."""
    found = _found(order)
    if len(order.streams) != 1:
        message = "a cursor is of one stream: name it with --stream"
        raise click.UsageError(message)
    (name,) = order.streams
    step = _plan(order, found, surroundings).step(name)

    def change(states: States) -> Iterator[StreamState]:
        state = states.get(name, StreamState(stream=name, fingerprint=step.fingerprint))
        try:
            cursor = with_cursor(step, state.cursor, order.value, order.partition)
        except ValueError as error:
            message = f"stream '{name}': {error}"
            raise click.UsageError(message) from None
        yield replace(state, cursor=cursor, position=None)

    return _changed(order, found, surroundings, change)


def reset_state(order: StateOrder, surroundings: Surroundings) -> ExitCode:
    """Forget how far streams have been read: the next run reads them from the start."""
    found = _found(order)
    if not order.streams and not order.everything:
        message = "say which streams to reset: --stream NAME, or --all"
        raise click.UsageError(message)

    def change(states: States) -> Iterator[StreamState]:
        for name in order.streams or states:
            if name in states:
                yield replace(states[name], cursor=None, position=None)

    return _changed(order, found, surroundings, change)


def import_state(order: StateOrder, surroundings: Surroundings) -> ExitCode:
    """Take over the state that `export` wrote, of all streams in it or those asked for."""
    found = _found(order)
    document = _document(order.file)
    plan = _plan(order, found, surroundings)
    given = dict(_given(document, plan, order))

    def change(_: States) -> Iterator[StreamState]:
        yield from given.values()

    return _changed(order, found, surroundings, change)


def _plan(order: StateOrder, found: Found, surroundings: Surroundings) -> Plan:
    given = given_settings(order.settings)
    refuse_unknown_settings([found.mapping], given)
    job = Job(found=found, given=settings_for(found.mapping, given), streams=())
    return plan_of(job, surroundings)


def _changed(
    order: StateOrder, found: Found, surroundings: Surroundings, change: Change
) -> ExitCode:
    """Make the change while no run is under way, and say what it is."""
    name, owner = found.mapping.name, own_name()

    def action(session: Session) -> list[tuple[StreamState | None, StreamState]]:
        before = states_of(session, name)
        after = [(before.get(each.stream), each) for each in change(before)]
        for _, each in after if not order.dry_run else ():
            put_state(session, name, each, owner)
        return after

    with kept_store(order.store, surroundings) as store:
        done = _done(order, store, action, mapping=name, owner=owner)
    told = [(new.stream, *_difference(old, new)) for old, new in done]
    if order.as_json:
        changes = [{"stream": stream, "was": was, "is": now} for stream, was, now in told]
        text = _json({"mapping": name, "dry_run": order.dry_run, "changes": changes})
    else:
        text = "".join(_sentence(*each, dry_run=order.dry_run) for each in told)
        text = text or "nothing to change\n"
    surroundings.write(surroundings.clean(text))
    return ExitCode.OK


def _sentence(stream: str, was: str, now: str, *, dry_run: bool) -> str:
    if was == now:
        return f"{stream}: {now}, as before\n"
    return f"{stream}: {was} → {now}{' (dry run)' if dry_run else ''}\n"


def _done(
    order: StateOrder, store: Store, action: Callable[[Session], Any], *, mapping: str, owner: str
) -> Any:
    return store.ask(action) if order.dry_run else store.alone(action, mapping=mapping, owner=owner)


def _difference(old: StreamState | None, new: StreamState) -> tuple[str, str]:
    """Return what a stream's state was, and what it is, in words."""
    return "from the start" if old is None else _words(old), _words(new)


def _words(state: StreamState) -> str:
    at = kept_cursors(state.cursor)
    told = ", ".join(f"{label}: {value}" if label else value for label, value in at.items())
    if state.cursor is not None and not at:
        told = "what it remembers"
    if state.position is not None:
        told = f"{told or 'from the start'}, within an interrupted read"
    return told or "from the start"


# --- what was exported ----------------------------------------------------------------------------


def _document(file: str) -> dict[str, Any]:
    """Return an exported document. Raises UsageError where it is none."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        document = json.loads(text)
    except OSError as error:
        message = f"{file}: can't be read ({error.strerror})"
        raise click.UsageError(message) from None
    except ValueError:
        document = None
    if not isinstance(document, dict) or document.get("crmmap_state") != VERSION:
        message = f"{file}: is not what `crmmap state export` writes"
        raise click.UsageError(message)
    return document


def _given(
    document: Mapping[str, Any], plan: Plan, order: StateOrder
) -> Iterator[tuple[str, StreamState]]:
    """Yield the states in a document. Raises UsageError where they are not of this mapping."""
    if document.get("mapping") != plan.mapping:
        message = (
            f"the state is of the mapping '{document.get('mapping')}', not of '{plan.mapping}'"
        )
        raise click.UsageError(message)
    streams = document.get("streams")
    steps = {step.name: step for step in plan.steps}
    for name, each in streams.items() if isinstance(streams, dict) else ():
        if order.streams and name not in order.streams:
            continue
        if name not in steps:
            message = f"the mapping has no stream '{name}'. Name those to import: --stream"
            raise click.UsageError(message)
        yield name, _of_document(name, each, steps[name].cursor_of, steps[name].fingerprint)


def _of_document(name: str, given: Any, of: str, fingerprint: str) -> StreamState:
    cursor = given.get("cursor") if isinstance(given, dict) else None
    if not isinstance(given, dict) or not isinstance(cursor, dict | None):
        message = f"stream '{name}': is not what `crmmap state export` writes"
        raise click.UsageError(message)
    if cursor is not None and cursor.get("of") != of:
        message = (
            f"stream '{name}': the cursor was kept for another request, or for other settings, and "
            f"is worth nothing here. Leave the stream out, or `crmmap state set` it"
        )
        raise click.UsageError(message)
    # A position is good for the same plan alone; without it, the read begins at the cursor.
    same = given.get("fingerprint") == fingerprint
    text = None if cursor is None else json.dumps(cursor, sort_keys=True, separators=(",", ":"))
    return StreamState(
        stream=name,
        cursor=text,
        position=given.get("position") if same else None,
        fingerprint=fingerprint,
        ended=bool(given.get("ended", True)),
    )


def _json(document: object) -> str:
    return json.dumps(document, indent=2) + "\n"
