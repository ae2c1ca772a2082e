"""What the parts of a run cost, each by itself: `python -m bench.parts REPORT RECORDS`.

CPU seconds of this process, the best of some rounds, over pages that were fetched before.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import process_time

import yaml

from bench.measure import ROOT
from bench.micro import casts
from bench.runs import contacts
from bench.scenarios import serving
from bench.stages import planned
from crmmap.extract.readers import open_reader
from crmmap.load import Mark, Store, Tally, Transaction
from crmmap.loop.archive import Archiving
from crmmap.loop.commit import load
from crmmap.plan import Plan, Step
from crmmap.transform import apply, resolve
from crmmap.values import Batch, Page, Start

ROUNDS = 5
LOOKED_UP = """
crmmap: 1
name: parts
settings: {folder: {help: Where the two files are.}}
source: {kind: files, format: {kind: csv}}
defaults: {batch: 10000}
streams:
  parents:
    file: "{{ settings.folder }}/parents.csv"
    table: {name: parents, key: id}
    fields: {id: {from: id, type: integer, required: true}}
  children:
    file: "{{ settings.folder }}/children.csv"
    table: {name: children, key: id}
    fields:
      id: {from: id, type: integer, required: true}
      parent_id: {from: parent_id, type: integer, lookup: parents}
"""


def best(work: Callable[[], object]) -> float:
    """Return the CPU seconds of the quickest round."""
    taken = []
    for _ in range(ROUNDS):
        began = process_time()
        work()
        taken.append(process_time() - began)
    return min(taken)


def fetched(plan: Plan) -> dict[str, list[Page]]:
    """Return all pages of a plan's streams."""
    with open_reader(plan, stop=threading.Event(), clock=lambda: datetime.now(UTC)) as reader:
        return {step.name: list(reader.pages(step, Start())) for step in plan.steps}


def in_batches(step: Step, pages: list[Page]) -> list[Batch]:
    """Judge pages in batches as large as a run's."""
    size = max(1, step.batch // max(pages[0].fetched, 1))
    return [apply(step, pages[at : at + size]) for at in range(0, len(pages), size)]


def json_pages(count: int) -> dict[str, float]:
    """Return records per second of CPU: 25 fields read, selected, and typed and checked, too."""
    with serving("contacts", count) as base_url, tempfile.TemporaryDirectory() as folder:
        scenario = contacts(base_url, count)
        mapping = ROOT / "bench" / scenario.mapping
        plan, bare = planned(mapping, scenario.setting), Path(folder) / "bare.yaml"
        bare.write_text(_without_types(mapping.read_text(encoding="utf-8")), encoding="utf-8")
        plain = planned(bare, scenario.setting)
        reading = best(lambda: fetched(plan))
        pages = fetched(plan)["contacts"]
    step, texts = plan.steps[0], plain.steps[0]
    selecting = best(lambda: in_batches(texts, pages))
    judging = best(lambda: in_batches(step, pages))
    return {
        "fetch pages of 100 contacts and take them apart": count / reading,
        "select 25 texts of each": count / selecting,
        "select, type and check 25 cells of each": count / judging,
    }


def _without_types(mapping: str) -> str:
    read = yaml.safe_load(mapping)
    stream = read["streams"]["contacts"]
    stream["fields"] = {name: {"from": each["from"]} for name, each in stream["fields"].items()}
    stream.pop("dedupe")
    return yaml.safe_dump(read, sort_keys=False)


def lookups(count: int) -> dict[str, float]:
    """Return foreign keys per second of CPU, found among the rows of a table in SQLite."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        parents = count // 10
        (folder / "parents.csv").write_text("id\n" + "".join(f"{n}\n" for n in range(parents)))
        rows = "".join(f"{n},{n * 7919 % parents}\n" for n in range(count))
        (folder / "children.csv").write_text("id,parent_id\n" + rows)
        (folder / "parts.yaml").write_text(LOOKED_UP)
        plan = planned(folder / "parts.yaml", f"folder={folder}")
        pages = fetched(plan)
        store = stack.enter_context(
            closing(Store.open(f"sqlite:///{folder}/parts.db", application="crmmap:bench"))
        )
        store.prepare([step.target for step in plan.steps])
        store.begin_run(mapping="parts", run_id="parts", owner="bench:1")
        taken: list[float] = []
        for step in plan.steps:
            mark = store.begin_stream(
                mapping="parts", run_id="parts", stream=step.name, fingerprint="", fresh=True
            )
            for batch in in_batches(step, pages[step.name]):
                mark = _looked_up(store, mark, step, batch, taken)
    return {"look a foreign key up among the rows of a table (SQLite)": count / sum(taken)}


def _looked_up(store: Store, mark: Mark, step: Step, batch: Batch, taken: list[float]) -> Mark:
    how = Archiving(keep=step.keeps, most=0, clean=lambda: None)

    def work(transaction: Transaction) -> Tally:
        if step.lookups:
            taken.append(best(partial(resolve, step, batch, transaction.known)))
        return load(step, batch, how, transaction)

    return store.commit(mark, work)[0]


def main(report: str, count: str) -> None:
    found = {
        "parts": json_pages(int(count)) | lookups(int(count)),
        "casts": dict(casts(values=int(count))),
    }
    Path(report).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
