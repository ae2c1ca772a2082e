"""The source of the long tests gives each stream its own records, though several ask at once."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from changing_crm import Crm, Manner
from fault_server import Seen


@pytest.fixture
def _hurried() -> Any:
    """Let threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_hurried")
def test_streams_that_are_asked_for_at_once_are_not_mixed() -> None:
    names = "abcdef"
    crm = Crm({name: {} for name in names}, Manner(size=2, disorder=1))
    for name in names:
        for number in range(9):
            crm.put(name, f"{name}{number}", datetime(2024, 1, 1, tzinfo=UTC))

    def ask(name: str) -> str:
        page = json.loads(crm(Seen("GET", f"/{name}", {}, b"")).partition(b"\r\n\r\n")[2])
        read = crm.reads[int(page["next"].partition(":")[0])]
        return read.stream + page["items"][0]["id"][0]

    with ThreadPoolExecutor(len(names)) as pool:
        for _ in range(50):
            assert [*pool.map(ask, names)] == [name * 2 for name in names]
