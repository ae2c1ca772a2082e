"""Which stores whole runs are tried on: each test on SQLite, and on one of the two servers.

What stores do is tried on all three, by the modules `test_load_*`; a run above them differs little
from store to store, and costs much. CRMMAP_TEST_ALL_STORES=1 tries everything on every store.
"""

from __future__ import annotations

import os
from zlib import crc32

import pytest

WHOLE_RUNS = {
    "test_archive", "test_deletes", "test_policy", "test_refused_parents", "test_rejects",
    "test_relations", "test_remap", "test_retry", "test_state", "test_waiting",
    "test_whole_writes",
}  # fmt: skip
SERVERS = ("postgresql", "mariadb")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("CRMMAP_TEST_ALL_STORES"):
        return
    left_out = [item for item in items if _left_out(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def _left_out(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function) or item.path.stem not in WHOLE_RUNS:
        return False
    callspec = getattr(item, "callspec", None)
    store = None if callspec is None else callspec.params.get("store_url")
    return store in SERVERS and store != SERVERS[crc32(item.originalname.encode()) % 2]
