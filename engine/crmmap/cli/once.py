"""One run of one plan, with all that it needs opened before and closed after."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Mapping
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

from crmmap.errors import SettingError
from crmmap.events import Observe, RunReport
from crmmap.extract.keyring_vault import KeyringVault
from crmmap.extract.readers import open_reader
from crmmap.extract.vault import Keeper, Vault
from crmmap.load import Store
from crmmap.loop import Options, run
from crmmap.plan import Plan
from crmmap.values import Secret


def run_once(
    plan: Plan,
    store: str,
    *,
    options: Options | None = None,
    stop: threading.Event | None = None,
    observe: Observe = lambda _: None,
    keep_tokens: bool = True,
) -> RunReport:
    """Open the store of this URL and the plan's source, run, and close both.

    With `keep_tokens`, those that must outlive the run are kept in the user's vault.
    """
    stop = stop or threading.Event()
    vault = vault_of(os.environ, stop) if keep_tokens else None
    with ExitStack() as stack:
        opened = stack.enter_context(closing(Store.open(store, application="crmmap")))
        reader = stack.enter_context(
            open_reader(plan, stop=stop, clock=utc_now, observe=observe, vault=vault)
        )
        return run(
            plan, opened, reader, options=options or new_options(), stop=stop, observe=observe
        )


def vault_of(environment: Mapping[str, str], stop: threading.Event | None = None) -> Keeper:
    """Return where this user's tokens are kept: `CRMMAP_TOKENS`, or with the user's other state.

    With `CRMMAP_VAULT=keyring`, in this machine's keyring. `stop` ends a wait for another
    process that uses it. Raises SettingError for other words.
    """
    stop = stop or threading.Event()
    key = environment.get("CRMMAP_KEY")
    state = environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = environment.get("CRMMAP_TOKENS") or Path(state) / "crmmap"
    kind = environment.get("CRMMAP_VAULT") or "file"
    if kind == "keyring":
        return KeyringVault(folder=Path(folder), stop=stop)
    if kind != "file":
        message = f"CRMMAP_VAULT is {kind!r}. Allowed: 'file' (the default) and 'keyring'"
        raise SettingError(message)
    return Vault(folder=Path(folder), key=Secret(key) if key else None, stop=stop)


def new_options() -> Options:
    """Return the options of a run that begins now, in this process."""
    started = utc_now()
    return Options(
        # Sorted by name, runs stand in the order of their time.
        run_id=f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}",
        owner=own_name(),
        started_at=started.isoformat(timespec="milliseconds"),
    )


def own_name() -> str:
    """Return what the ledger calls this process: `host:pid`."""
    return f"{socket.gethostname()}:{os.getpid()}"


def utc_now() -> datetime:
    """Return the moment by this machine's clock."""
    return datetime.now(UTC)
