"""Two runs of one mapping at once, as whole processes: one works, the other says who does."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from commands import API, command, crmmap, environment, write
from crmmap.load import Store, ledger
from fault_server import FaultServer, Seen, answer
from stores import store_url  # noqa: F401  (a fixture)


class Api:
    """Three notes, one to a page; each page after the first waits until it may go on."""

    def __init__(self) -> None:
        self.asked, self.may_go_on = threading.Event(), threading.Event()

    def __call__(self, seen: Seen) -> bytes:
        number = int(seen.target.partition("after=")[2] or 0)
        if number:
            self.asked.set()
            self.may_go_on.wait(60)
        items = [{"id": str(number), "body": {"n": number}}]
        return answer(
            json.dumps({"items": items, "next": number + 1 if number < 2 else None}).encode()
        )


@pytest.fixture
def api() -> Iterator[tuple[Api, str]]:
    pages = Api()
    with FaultServer(pages) as server:
        yield pages, server.url
        pages.may_go_on.set()


def test_one_works_and_the_other_says_who_does(
    store_url: str, tmp_path: Path, api: tuple[Api, str]
) -> None:
    """And one that was paused beyond its lease can commit nothing any more, and says so."""
    pages, url = api
    write(tmp_path, api_yaml=API)
    words = ("run", "api.yaml", "--store", store_url, "--quiet", "--json")
    given = {"API_URL": url, "API_TOKEN": "t"}
    first = subprocess.Popen(
        command(*words), cwd=tmp_path, env=environment(**given), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert pages.asked.wait(60)
        second = crmmap(tmp_path, *words, env=given)
        assert second.code == 5
        with opened(store_url) as connection:
            table = ledger.LOCKS
            held = connection.execute(sa.select(table.c.run_id, table.c.owner)).one()
        assert held.owner == f"{socket.gethostname()}:{first.pid}"
        for told in (second.err, second.json["message"]):
            assert f"is being run by {held.owner} since 2" in told
            assert f"(run {held.run_id})" in told
        first.send_signal(signal.SIGSTOP)
        forget(store_url)
        pages.may_go_on.set()
        third = crmmap(tmp_path, *words, env=given)
        assert third.code == 0, third.err
        first.send_signal(signal.SIGCONT)
        out, err = first.communicate(timeout=60)
    finally:
        first.kill()
        first.wait()
    assert first.returncode == 5, err
    assert "paused for too long, and another run took over" in out + err or "fenced" in out + err
    with opened(store_url) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM api_notes").scalar() == 3
        assert connection.execute(sa.select(ledger.LOCKS.c.run_id)).scalar() is None
        ended = connection.execute(sa.select(ledger.RUNS.c.run_id, ledger.RUNS.c.status))
        runs = {row.run_id: row.status for row in ended}
    assert runs.pop(held.run_id) == "interrupted"
    assert [*runs.values()] == ["done"]


@contextmanager
def opened(store_url: str) -> Iterator[sa.Connection]:
    store = Store.open(store_url, application="t")
    try:
        with store.engine.begin() as connection:
            yield connection
    finally:
        store.close()


def forget(store_url: str) -> None:
    """Let the lease of every run be past."""
    with opened(store_url) as connection:
        past = sa.text("'2020-01-01T00:00:00.000000Z'")
        if connection.dialect.name != "sqlite":
            past = sa.text("'2020-01-01 00:00:00'")
        connection.execute(sa.update(ledger.LOCKS).values(expires_at=past))
