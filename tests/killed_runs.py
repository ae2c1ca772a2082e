"""Runs in processes of their own, to be killed: forked from one that has imported everything.

As a module it gives tests a `Nursery`; as a script it is that process. It reads an order per
line, and forks a child for each: importing takes a second, forking milliseconds. It runs
nothing itself, for polars' threads would not survive the fork.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from crmmap.extract.readers import open_reader
from crmmap.load import Store
from crmmap.loop import Options, run
from crmmap.plan import compile_plan
from crmmap.spec.read import read_mapping

HERE = Path(__file__).parent


@dataclass
class Nursery:
    """Starts runs, one after the other."""

    preload: Path | None = None
    """A `library`, where runs are to be killed at calls."""

    def __enter__(self) -> Nursery:
        paths = os.pathsep.join([str(HERE), str(HERE.parent / "engine")])
        self.parent = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": paths, "LD_PRELOAD": str(self.preload or "")},
        )  # fmt: skip
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self.parent.stdin is not None
        self.parent.stdin.close()
        self.parent.wait(30)
        assert self.parent.stdout is not None
        self.parent.stdout.close()

    def run(
        self,
        mapping: str,
        store: str,
        *,
        failpoint: str = "",
        after: float = 0,
        call: int = 0,
        bug: str = "",
    ) -> int:
        """Run a mapping and return its exit code, or the negative number of what killed it.

        It is killed at a failpoint, after so many seconds, or at the so-manieth call that makes
        data durable or sends some. `bug` is one of `seeded_bugs`.
        """
        assert self.parent.stdin is not None
        assert self.parent.stdout is not None
        order = {
            "mapping": mapping, "store": store, "failpoint": failpoint, "after": after,
            "call": call, "bug": bug,
        }  # fmt: skip
        self.parent.stdin.write(f"{json.dumps(order)}\n")
        self.parent.stdin.flush()
        return int(self.parent.stdout.readline())


def library(folder: Path) -> Path:
    """Build what kills a process at one of its calls, for a nursery's `preload`."""
    built = folder / "killed_calls.so"
    source = HERE / "killed_calls.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", built, source, "-ldl"], check=True)
    return built


def run_whole(mapping: str, store: str) -> int:
    """Run a mapping in this process, undisturbed, and return its exit code."""
    plan = compile_plan(read_mapping(mapping.encode(), "killed.yaml"), {})
    owner = f"{socket.gethostname()}:{os.getpid()}"
    options = Options(run_id=datetime.now(UTC).isoformat(), owner=owner, started_at="")
    stop = threading.Event()
    opened = Store.open(store, application="tests")
    with open_reader(plan, stop=stop, clock=lambda: datetime.now(UTC)) as reader:
        report = run(plan, opened, reader, options=options, stop=stop)
    opened.close()
    for stream in report.streams:
        if stream.status != "done":
            sys.stderr.write(f"{stream.stream}: {stream.status}: {stream.message}\n")
    return int(report.exit_code)


def _child(order: dict[str, Any]) -> int:
    """Run in this process, which ends with it whatever happens."""
    code = 70
    try:
        os.environ["CRMMAP_FAILPOINT"] = order["failpoint"]
        if order["call"]:
            os.environ["CRMMAP_KILL_AT_CALL"] = str(order["call"])
        if order["bug"]:
            import seeded_bugs

            getattr(seeded_bugs, order["bug"])(setattr)
        code = run_whole(order["mapping"], order["store"])
    except BaseException:  # noqa: BLE001  (the child says what it is, and ends)
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def _kill_later(process: int, seconds: float) -> None:
    import signal
    import time

    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)


def _main() -> None:
    # What the engine imports only where it is needed.
    import crmmap.extract.http_reader
    import crmmap.load.mysql
    import crmmap.load.postgres
    import crmmap.load.sqlite  # noqa: F401

    for line in sys.stdin:
        order = json.loads(line)
        if not (process := os.fork()):
            _child(order)
        if order["after"]:
            _kill_later(process, order["after"])
        _, status = os.waitpid(process, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
