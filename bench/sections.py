"""What can be measured, each by itself, and how it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench import growth, loading, peers, portions, runs, tables
from bench.scenarios import How


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of the page. `told` takes what `measure` found, as JSON gives it back."""

    title: str
    about: str
    measure: Callable[[How], Any]
    told: Callable[[Any], str]


def _of_runs(title: str, about: str, measure: Callable[[How], runs.Runs]) -> Section:
    return Section(
        title=title, about=about, measure=measure,
        told=lambda found: tables.runs(tables.runs_of(found)),
    )  # fmt: skip


SECTIONS = {
    "http": _of_runs(
        "JSON over HTTP",
        """Contacts of 25 fields in pages of 100, as a big CRM sends them; a *second run* reads them
again when nothing has changed. The script: orjson, `executemany` or COPY.""",
        runs.http,
    ),
    "xml": _of_runs(
        "Atom XML over HTTP",
        """People of 42 fields in feeds of 5,000, as an old OData service sends them. The script:
lxml's `iterparse`, one look at each element. In a *dry run* the script writes the cells
nowhere, and crmmap into a temporary SQLite store, which is in its figure.""",
        runs.xml,
    ),
    "csv": _of_runs(
        "A CSV file",
        """Tasks of 60 columns. The script reads with polars, writes CSV again and COPYs it; for
SQLite it is `csv.reader` and `executemany`.""",
        runs.csv,
    ),
    "database": _of_runs(
        "A MariaDB table into PostgreSQL",
        """Leads of 47 columns, and their divisions, which each lead is looked up in. The script: a
server-side cursor that leaves all values the texts they are, and COPY. PyMySQL is most of it.""",
        runs.database,
    ),
    "upsert": Section(
        title="Rows into a table",
        about="",
        measure=loading.loads,
        told=lambda found: loading.told(loading.loaded_of(found)),
    ),
    "micro": Section(
        title="The parts of a run",
        about="""Each by itself, in one thread: CPU seconds of the best of five rounds
([parts.py](parts.py), [micro.py](micro.py)). What is selected is not yet typed; what is typed and
checked was selected before, so that the second figure has the first in it.""",
        measure=portions.portions,
        told=portions.told,
    ),
    "growth": Section(
        title="Ten times as many records",
        about="""Time should be a straight line, and memory flat: what a run holds is a few
pages and batches, however large the source. One run each.""",
        measure=growth.growth,
        told=lambda found: growth.told(growth.grown_of(found)),
    ),
    "peers": _of_runs(
        "Beside others of its kind",
        f"""The same contacts by [dlt](https://dlthub.com) {peers.DLT_VERSION}'s `rest_api` source,
as it comes and [tuned](dlt_contacts.py): no compression on the way, larger buffers, two workers,
CSV for COPY into PostgreSQL, Parquet for SQLite; and into PostgreSQL by a
[Singer](singer_contacts.py) tap (tap-rest-api-msdk 1.4.2) and target
(meltanolabs-target-postgres 0.8.1, with COPY), whose memory is that of the larger process.
All merge by the same key; dlt types the same columns, Singer what it finds. None of them keeps
rejects or compares rows. Not part of `make bench`: `python -m bench peers` installs them first.""",
        peers.peers,
    ),
}
OPTIONAL = frozenset({"peers"})
"""Sections that are measured only where they are named."""
