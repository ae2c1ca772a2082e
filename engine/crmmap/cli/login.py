"""`crmmap login`: a person agrees, in a browser, that runs of a mapping may read."""

from __future__ import annotations

import webbrowser
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from crmmap.cli.mappings import (
    Found,
    given_settings,
    read_all,
    refuse_unknown_settings,
    refuse_unknown_sources,
)
from crmmap.cli.once import vault_of
from crmmap.cli.surroundings import Surroundings
from crmmap.errors import ExitCode
from crmmap.kinds.oauth2 import OAuth2
from crmmap.kinds.source import Http
from crmmap.plan import Plan, compile_plan, resolve_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginOrder:
    """What `crmmap login` was asked to do."""

    mapping: str
    sources: tuple[str, ...] = ()
    port: int | None = None
    timeout: float = 300.0
    no_browser: bool = False
    settings: tuple[str, ...] = ()


def log_in_to(order: LoginOrder, surroundings: Surroundings) -> ExitCode:
    """Log in to every source of the mapping that a person logs in to, one after the other."""
    found = read_all([order.mapping])[0]
    given = given_settings(order.settings)
    refuse_unknown_settings([found.mapping], given)
    refuse_unknown_sources([found.mapping], order.sources)
    settings = resolve_settings(found.mapping, surroundings.environment, given)
    plan = compile_plan(found.mapping, settings, only=order.sources)
    surroundings.secrets.extend(plan.secrets)
    for name, source in _sources(found, plan).items():
        _log_in(name, source, order, surroundings)
    return ExitCode.OK


def _sources(found: Found, plan: Plan) -> Mapping[str, Http]:
    """Return the sources that a person logs in to. Raises UsageError where there is none."""
    chosen = {
        name: source for name, source in plan.sources.items()
        if isinstance(source, Http) and isinstance(source.auth, OAuth2)
        and source.auth.grant == "authorization_code"
    }  # fmt: skip
    if not chosen:
        message = (
            f"{found.mapping.name} needs no login: none of its sources has the grant "
            "`authorization_code`, with these settings. Run it as it is"
        )
        raise click.UsageError(message)
    return chosen


def _log_in(name: str, source: Http, order: LoginOrder, surroundings: Surroundings) -> None:
    from crmmap.extract.login import log_in

    vault = vault_of(surroundings.environment)

    def show(address: str) -> None:
        surroundings.write(f"Log in here, to {name}:\n\n  {address}\n\n")
        if not order.no_browser:
            webbrowser.open(address)

    try:
        log_in(
            source, show=show, clock=lambda: datetime.now(UTC), vault=vault,
            seconds=order.timeout, port=order.port,
        )  # fmt: skip
    except OSError as error:
        message = (
            f"the port where the browser comes back can't be listened on: {error.strerror}. Give "
            "another --port, if the source takes it, or end what listens there"
        )
        raise click.UsageError(message) from None
    surroundings.write(f"Logged in. The token is kept, encrypted, in {vault.where}\n")
