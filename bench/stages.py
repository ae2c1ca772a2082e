"""Where a run's CPU time goes: `python -m bench.stages REPORT MAPPING STORE SETTING=VALUE`.

The same pages, batches and transactions as in `crmmap run`, but one after the
other in one thread, so that what each takes can be told apart. Twice: once with
a clock around each stage, and once watched by a sampler that charges CPU time
to functions. In a threaded run a sampler waits for its turn too long to know
who used the time.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType

from crmmap.extract.readers import open_reader
from crmmap.load import Mark, Store
from crmmap.loop.archive import MEGABYTE, Archiving
from crmmap.loop.commit import load
from crmmap.plan import Plan, Step, compile_plan, resolve_settings
from crmmap.spec import read_file
from crmmap.transform import apply
from crmmap.values import Page, Start

INTERVAL = 0.002
STAGES = ("start-up", "fetch and decode", "select, type, check", "write and account")
Seconds = Counter[str]


@contextmanager
def spent(seconds: Seconds, stage: str) -> Iterator[None]:
    """Charge the process's CPU time meanwhile, polars' threads included."""
    began = time.process_time()
    yield
    seconds[stage] += time.process_time() - began


def load_all(plan: Plan, store_url: str, run_id: str) -> Seconds:
    """Load all streams, step by step, and return CPU seconds by stage."""
    seconds = Seconds()
    named = {"mapping": plan.mapping, "run_id": run_id}
    with (
        closing(Store.open(store_url, application="crmmap:bench")) as store,
        open_reader(plan, stop=threading.Event(), clock=lambda: datetime.now(UTC)) as reader,
    ):
        store.prepare([step.target for step in plan.steps])
        store.begin_run(**named, owner="bench:1")
        for step in plan.steps:
            mark = store.begin_stream(
                **named, stream=step.name, fingerprint=step.fingerprint, fresh=True
            )
            most = plan.archive.megabytes * MEGABYTE
            how = Archiving(keep=step.keeps, most=most, clean=lambda: reader.clean)
            load_stream(step, reader.pages(step, Start()), (store, mark, how), seconds)
        store.end_run(run_id, status="done")
    return seconds


def load_stream(
    step: Step, pages: Iterator[Page], into: tuple[Store, Mark, Archiving], seconds: Seconds
) -> None:
    reading, judging, writing = STAGES[1:]
    store, mark, how = into
    gathered: list[Page] = []
    page: Page | None = None
    while page is None or page.position is not None:
        with spent(seconds, reading):
            page = next(pages)
        gathered.append(page)
        if sum(each.fetched for each in gathered) >= step.batch or page.position is None:
            with spent(seconds, judging):
                batch = apply(step, gathered)
            with spent(seconds, writing):
                # The loop's own way to write a batch, so that there is no second one.
                mark, _ = store.commit(mark, partial(load, step, batch, how))
            gathered = []


# --- the sampler ------------------------------------------------------------------------------


def site(frame: FrameType | None) -> str:
    """Return `module:function` of the innermost frame within crmmap, and the library it called."""
    called = ""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("crmmap."):
            library = f" → {called}" if called and called != "polars" else ""
            return f"{module.removeprefix('crmmap.')}:{frame.f_code.co_qualname}{library}"
        called = module.split(".")[0]
        frame = frame.f_back
    return "others"


class Sampler(threading.Thread):
    """Charges to sites what each thread has used since the last look. Needs Linux.

    What threads without a Python frame use, those of polars, is charged to where the main thread
    is: it waits there for them.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.found = Seconds()
        self.done = threading.Event()
        self._seen: Counter[int] = Counter()

    def run(self) -> None:
        while not self.done.wait(INTERVAL):
            self.look()

    def look(self) -> None:
        frames = {
            time.pthread_getcpuclockid(ident): frame
            for ident, frame in sys._current_frames().items()
        }
        own = time.pthread_getcpuclockid(self.ident) if self.ident else None
        main = time.pthread_getcpuclockid(threading.main_thread().ident or 0)
        for clock in _clocks() - {own}:
            try:
                now = time.clock_gettime(clock)
            except OSError:  # the thread has just ended
                continue
            at = site(frames.get(clock, frames[main]))
            self.found[at] += now - self._seen[clock]
            self._seen[clock] = now


def _clocks() -> set[int]:
    """Return the CPU clocks of all threads of this process, those of libraries too."""
    # As Linux makes a thread's clock from its number (man 2 clock_getres).
    return {(~int(thread) << 3) | 6 for thread in os.listdir("/proc/self/task")}


def watched(plan: Plan, store_url: str, run_id: str) -> Seconds:
    """Load, and return CPU seconds by function."""
    sys.setswitchinterval(0.00002)  # or the sampler would come too late to see who it was
    sampler = Sampler()
    sampler.look()
    sampler.found.clear()  # what was used before anyone watched
    sampler.start()
    load_all(plan, store_url, run_id)
    sampler.done.set()
    sampler.join()
    return sampler.found


def planned(mapping: Path, setting: str) -> Plan:
    """Return the plan of a mapping with one setting, written as for `--set`."""
    name, _, value = setting.partition("=")
    spec = read_file(mapping)
    return compile_plan(spec, resolve_settings(spec, {}, {name: value}))


def main() -> None:
    report, mapping, store_url, setting = sys.argv[1:]
    plan = planned(Path(mapping), setting)
    stages = Seconds({STAGES[0]: time.process_time()}) + load_all(plan, store_url, "timed")
    # The same records again would be unchanged: the watched run needs a table of its own.
    functions = watched(plan, f"{store_url}.watched", "watched")
    found = {"stages": dict(stages), "functions": dict(functions.most_common())}
    Path(report).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
