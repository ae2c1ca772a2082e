"""`crmmap plan`: what a run would do."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack, closing
from dataclasses import dataclass

import click

from crmmap.cli.jobs import as_asked
from crmmap.cli.mappings import given_settings, read_all, refuse_unknown_settings
from crmmap.cli.stores import is_missing_file, store_url, temporary_store
from crmmap.cli.surroundings import Surroundings
from crmmap.errors import ExitCode
from crmmap.plan import Plan, compile_plan, placeholder_settings, usual
from crmmap.report.parts import rendered
from crmmap.report.plan import plan_document, plan_parts
from crmmap.spec import Mapping
from crmmap.values import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOrder:
    """What `crmmap plan` was asked to do."""

    mapping: str
    settings: tuple[str, ...] = ()
    store: str | None = None
    ddl: bool = False
    as_json: bool = False


def show_plan(order: PlanOrder, surroundings: Surroundings) -> ExitCode:
    """Print the plan: as text, as JSON, or its tables as SQL. Raises UsageError for both."""
    if order.ddl and order.as_json:
        message = "--ddl prints SQL and --json prints JSON. Give one of them"
        raise click.UsageError(message)
    found = read_all([order.mapping])[0]
    given = given_settings(order.settings)
    refuse_unknown_settings([found.mapping], given)
    plan = compile_plan(found.mapping, shown_settings(found.mapping, given))
    plan = as_asked(plan, surroundings)
    surroundings.write(_text(plan, order, surroundings))
    return ExitCode.OK


def shown_settings(mapping: Mapping, given: dict[str, str]) -> dict[str, str | Secret]:
    """Return the settings as a plan shows them: the names of those not given, in capitals."""
    unset = {
        name: name.upper()
        for name, each in mapping.settings.items()
        if each.default is None and name not in usual(mapping)
    }
    return placeholder_settings(mapping, {**unset, **given})


def _text(plan: Plan, order: PlanOrder, surroundings: Surroundings) -> str:
    if order.ddl:
        return _ddl(plan, store_url(order.store, surroundings))
    document = plan_document(plan)
    if order.as_json:
        return json.dumps(document, indent=2) + "\n"
    return rendered(plan_parts(document), sys.stdout)


def _ddl(plan: Plan, url: str) -> str:
    """Return the statements that a run would create its tables with, given what the store has."""
    from crmmap.load import Store

    with ExitStack() as stack:
        if is_missing_file(url):  # to look at a file that is not there would create it
            url = stack.enter_context(temporary_store())
        store = stack.enter_context(closing(Store.open(url, application="crmmap plan")))
        return store.ddl(plan.targets)
