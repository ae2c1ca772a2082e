"""An invented CRM that the engine has never heard of, for whole runs in the tests."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from crmmap.events import RunReport
from crmmap.extract.readers import Reader, open_reader
from crmmap.load import Store
from crmmap.loop import Options, run
from crmmap.plan import Plan, compile_plan
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.spec.read import read_mapping

MAPPING = """
crmmap: 1
name: shipyard
title: The Shipyard CRM
settings:
  key: {env: SHIPYARD_KEY, secret: true, help: "Profile, then API keys"}
  base_url: {env: SHIPYARD_URL, default: "https://api.shipyard.example/v2"}
source:
  kind: http
  base_url: "{{ settings.base_url }}"
  auth: {kind: api_key, keys: {X-Key: "{{ settings.key }}"}}
  retry: {attempts: 3, base: 0.001}
defaults: {batch: 40}
streams:
  sailors:
    request: {path: /sailors, params: {limit: "25"}}
    records: data.items[]
    pagination: {kind: token, token: data.cursor, param: cursor}
    table: {name: shipyard_sailors, key: id}
    fields:
      id: id
      name: {from: "join(' ', [first, last][?@])", check: {max_length: 80}}
      email: {from: contact.email, type: email, on_error: null_and_note}
      phone: {from: [contact.mobile, contact.phone], type: phone, on_error: null_and_note}
      rank: {from: rank, type: {kind: enum, values: [deckhand, mate, captain]}}
      pay: {from: pay, type: "decimal(12,2)", check: {min: 0}}
      aboard: {from: aboard, type: boolean}
      joined: {from: joined, type: date}
      captain: {from: captain_id, lookup: {stream: sailors, missing: wait}}
  voyages:
    request: {path: /voyages}
    records: "@"
    pagination: {kind: link}
    table: {name: shipyard_voyages, key: [ship, number]}
    dedupe: {keep: {latest: changed}}
    fields:
      ship: ship
      number: {from: number, type: integer}
      changed: {from: changed, type: datetime, required: true}
      weight: {from: cargo.weight, type: number}
      manifest: {from: cargo, type: json}
      lead: {from: lead, lookup: {stream: sailors, missing: stub}}
"""


def mapping(text: str = MAPPING) -> MappingSpec:
    return read_mapping(text.encode(), "invented.yaml")


def mock(
    *, records: int = 60, seed: int = 0, dirty: float = 0, text: str = MAPPING
) -> AbstractContextManager[Plan]:
    from crmmap.mock import mocked

    return mocked(mapping(text), {}, records=records, seed=seed, dirty=dirty)


def load(
    plan: Plan,
    store_url: str,
    *,
    stop: threading.Event | None = None,
    through: Callable[[Reader], Reader] = lambda reader: reader,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    **options: object,
) -> RunReport:
    """Run a plan whole, over real HTTP and into a real database."""
    stop = stop or threading.Event()
    store = Store.open(store_url, application="tests")
    chosen = Options(run_id=str(uuid.uuid4()), owner="tests:1", started_at="now", **options)  # type: ignore[arg-type]
    try:
        with open_reader(plan, stop=stop, clock=clock) as reader:
            return run(plan, store, through(reader), options=chosen, stop=stop)
    finally:
        store.close()


def plan_of(text: str, settings: Mapping[str, str]) -> Plan:
    return compile_plan(mapping(text), settings)


def table(store_url: str, name: str, *, order: str = "1, 2") -> list[tuple[object, ...]]:
    """Return a table's rows without the columns that tell runs apart."""
    import sqlalchemy as sa

    engine = sa.create_engine(store_url)
    try:
        with engine.connect() as connection:
            result = connection.execute(sa.text(f"SELECT * FROM {name} ORDER BY {order}"))
            kept = [
                index for index, key in enumerate(result.keys())
                if key not in ("_crmmap_run_id", "_crmmap_synced_at", "run_id", "created_at")
            ]  # fmt: skip
            return [tuple(row[index] for index in kept) for row in result]
    finally:
        engine.dispose()


def sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / 'store.db'}"
