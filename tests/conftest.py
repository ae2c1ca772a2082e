"""Which stores whole runs are tried on, and by which path: on SQLite, and on one of the servers.

CRMMAP_TEST_PATH=exact has everything read by the exact path, and CRMMAP_TEST_PATH=compiled
even the smallest pages by the compiled one; else a test takes the path that a run would.

What stores do is tried on all three, by the modules `test_load_*`; a run above them differs little
from store to store, and costs much. CRMMAP_TEST_ALL_STORES=1 tries everything on every store.

What tests write stands in memory where that can be, unless TMPDIR names a place: thousands of
small stores would wait for a disk at each commit. No test pulls the plug, so none needs one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from zlib import crc32

import pytest

from crmmap.extract import json_quick
from crmmap.plan import reading
from crmmap.select.compiled import CompiledSelector

WHOLE_RUNS = {
    "test_archive", "test_deletes", "test_found", "test_policy", "test_refused_parents",
    "test_rejects", "test_relations", "test_remap", "test_retry", "test_state", "test_waiting",
    "test_whole_writes",
}  # fmt: skip
SERVERS = ("postgresql", "mariadb")

MEMORY = Path("/dev/shm")
ROOM = 4 * 1024**3
"""Bytes that must be free there; of a run's files only those of tests that failed are kept."""


def pytest_configure() -> None:
    """Choose where files stand, and the path that is to be tried."""
    if "TMPDIR" not in os.environ and _can_hold_files(MEMORY):
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
    # Whoever starts the command chooses by CRMMAP_EXACT.
    path = os.environ.get("CRMMAP_TEST_PATH", "")
    if path == "exact":
        os.environ["CRMMAP_EXACT"] = "1"
        json_quick.obstacle = lambda _: json_quick.FORCED
        reading.walk_through = lambda _: None
    elif path == "compiled":
        defaults = CompiledSelector.__init__.__kwdefaults__
        assert "worth" in defaults
        defaults["worth"] = 1
    elif path:
        message = f"CRMMAP_TEST_PATH={path}: exact or compiled"
        raise pytest.UsageError(message)


def _can_hold_files(folder: Path) -> bool:
    if not os.access(folder, os.W_OK):
        return False
    # Some tests build a library, which must be allowed to be run.
    return shutil.disk_usage(folder).free > ROOM and not os.statvfs(folder).f_flag & os.ST_NOEXEC


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if _left_out(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def _left_out(item: pytest.Item) -> bool:
    if os.environ.get("CRMMAP_TEST_PATH") == "exact" and item.get_closest_marker("compiled"):
        return True
    if os.environ.get("CRMMAP_TEST_ALL_STORES"):
        return False
    if not isinstance(item, pytest.Function) or item.path.stem not in WHOLE_RUNS:
        return False
    callspec = getattr(item, "callspec", None)
    store = None if callspec is None else callspec.params.get("store_url")
    return store in SERVERS and store != SERVERS[crc32(item.originalname.encode()) % 2]
