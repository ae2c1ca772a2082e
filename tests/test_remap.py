"""`crmmap remap`: tables made again from the archive, through another mapping, asking no source."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import threading
import uuid
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from commands import PEOPLE, crmmap
from crmmap.cli.once import new_options, run_once
from crmmap.errors import Interrupted
from crmmap.events import RunReport
from crmmap.extract.readers import open_reader
from crmmap.load import Store
from crmmap.load.archive_queries import pieces, runs_since
from crmmap.loop import Options
from crmmap.loop.packing import pack_fields, unpack_fields
from crmmap.loop.remap import Archive, foresee, remap
from crmmap.plan import FoundField, Plan, Step, compile_plan, resolve_settings
from crmmap.values import Secret
from invented import mapping, sqlite, table
from stores import store_url  # noqa: F401  (a fixture)
from test_loop import Sources, load_from, plan, rows, stream
from test_loop import load as run_from


def all_kept(*streams: str, batch: int = 100) -> Plan:
    made = plan("".join(streams), batch=batch)
    return replace(made, steps=tuple(replace(step, keeps="all") for step in made.steps))


def again(
    the_plan: Plan, url: str, since: datetime | None = None, dry_run: bool = False, *streams: str
) -> RunReport:
    options = Options(run_id=str(uuid.uuid4()), owner="tests:1", started_at="")
    with closing(Store.open(url, application="tests")) as store:
        archive = Archive(plan=the_plan, store=store, since=since, streams=streams)
        if dry_run:
            return foresee(archive, Sources({}), options=options)
        return remap(archive, Sources({}), options=options, stop=threading.Event())


CURSORS = ("stream", "position", "ended", "fingerprint", "read_name")


def test_a_new_field_is_filled_from_what_was_kept(store_url: str) -> None:
    first, second = all_kept(stream("notes")), all_kept(stream("notes", "size: size"))
    run_from(first, store_url, notes=[{"id": "1", "size": "s"}, {"id": "2"}, {"id": "3"}])
    run_from(first, store_url, notes=[{"id": "1", "size": "m"}, {"id": "4", "size": "l"}])
    before = rows(store_url, "crmmap_cursors", *CURSORS)
    report = again(second, store_url)
    assert (report.kind, report.exit_code) == ("remap", 0)
    assert rows(store_url, "notes", "id", "size") == [
        ("1", "m"), ("2", None), ("3", None), ("4", "l"),
    ]  # fmt: skip
    assert report.counts.fetched == 5
    assert report.remarks == ("added the column size to the existing table 'notes'",)
    assert rows(store_url, "crmmap_cursors", *CURSORS) == before
    # A second time, nothing is left to do; and the next run finds nothing of it to be new.
    assert again(second, store_url).counts.updated in (0, 2)
    kept = [{"id": "1", "size": "m"}, {"id": "2"}, {"id": "3"}, {"id": "4", "size": "l"}]
    assert run_from(second, store_url, notes=kept).counts.unchanged == 4


def test_pages_are_listed_a_few_at_a_time(store_url: str) -> None:
    run_from(all_kept(stream("notes")), store_url, notes=[{"id": f"{n}"} for n in range(6)])
    with closing(Store.open(store_url, application="tests")) as store:
        (run_id,) = store.ask(partial(runs_since, mapping="loop", since=None))
        some = partial(pieces, run_id=run_id, streams=("notes",))
        every = store.ask(partial(some, after=None, count=9))
        assert [each.key[1] for each in every] == [1, 2, 3]
        for place in range(3):
            after = every[place - 1] if place else None
            assert store.ask(partial(some, after=after, count=2)) == every[place : place + 2]


def test_what_was_read_later_and_not_kept_stays(store_url: str) -> None:
    kept = all_kept(stream("notes", "text: text"))
    unkept = replace(kept, steps=tuple(replace(step, keeps="none") for step in kept.steps))
    run_from(kept, store_url, notes=[{"id": "1", "text": "old"}, {"id": "2", "text": "two"}])
    run_from(unkept, store_url, notes=[{"id": "1", "text": "new"}])
    report = again(all_kept(stream("notes", 'text: "join(`\\"-\\"`, [text, text])"')), store_url)
    assert rows(store_url, "notes", "id", "text") == [("1", "new"), ("2", "two-two")]
    assert (report.counts.updated, report.counts.duplicate) == (1, 1)
    (remark,) = report.remarks
    assert "notes: the archive has 1 of 2 pages (2 of 3 records) that were read" in remark


def test_records_that_were_rejected_pass_by_another_mapping(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    strict, lax = (
        plan(stream("notes", f"n: {{from: n, type: {kind}}}"), batch=100)
        for kind in ("integer", "text")
    )
    run_from(strict, url, notes=[{"id": "1"}, {"id": "2"}, {"id": "3", "n": "x"}])
    assert rows(url, "notes", "id") == [("1",), ("2",)]
    (step,) = lax.steps
    lax = replace(lax, steps=(replace(step, target=replace(step.target, table="others")),))
    report = again(lax, url)
    assert rows(url, "others", "id", "n") == [("3", "x")]
    assert "1 of 2 pages (1 of 3 records)" in report.remarks[0]
    assert rows(url, "crmmap_rejects", "outcome") == [("loaded",)]


def test_only_what_was_read_since_is_loaded(store_url: str) -> None:
    first, second = all_kept(stream("notes")), all_kept(stream("notes", "size: size"))
    run_from(first, store_url, notes=[{"id": "1", "size": "s"}])
    run_from(first, store_url, notes=[{"id": "2", "size": "m"}])
    _, (moment, _) = rows(store_url, "crmmap_runs", "started_at", "run_id")
    since = moment if isinstance(moment, datetime) else datetime.fromisoformat(str(moment))
    since = since.replace(tzinfo=UTC) if since.tzinfo is None else since
    assert again(second, store_url, since + timedelta(days=1)).streams[0].status == "skipped"
    assert again(second, store_url, since).counts.fetched == 1
    assert rows(store_url, "notes", "id", "size") == [("1", None), ("2", "m")]


def test_parents_come_first_and_lookups_are_done_again(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    lookup = "owner: {from: owner, lookup: {stream: owners, by: name, missing: reject}}"
    before = all_kept(stream("owners"), stream("notes"))
    after = all_kept(stream("owners", "name: name"), stream("notes", lookup))
    run_from(before, url, owners=[{"id": "o", "name": "Ann"}], notes=[{"id": "1", "owner": "Ann"}])
    again(after, url)
    assert rows(url, "notes", "id", "owner") == [("1", "o")]
    assert [each.stream for each in again(after, url, None, False, "notes").streams] == ["notes"]


@pytest.mark.parametrize("version", ["", "    dedupe: {keep: {latest: at}}\n"])
def test_what_has_vanished_does_not_come_back(tmp_path: Path, version: str) -> None:
    url = sqlite(tmp_path)
    extra = f"{version}    table: {{name: notes, key: id, write: snapshot}}\n"
    text = stream("notes", "at: at", "size: size", extra=extra).replace(
        "    table: {name: notes, key: id}\n", ""
    )
    the_plan = all_kept(text)
    run_from(the_plan, url, notes=[{"id": "1", "at": "1"}, {"id": "2", "at": "1"}])
    run_from(the_plan, url, notes=[{"id": "2", "at": "1"}])
    gone = rows(url, "notes", "id", "_crmmap_deleted_at IS NULL")
    assert [bool(each[1]) for each in gone] == [False, True]
    report = again(all_kept(text.replace("size: size", "size: at")), url)
    assert rows(url, "notes", "id", "_crmmap_deleted_at IS NULL") == gone
    assert report.counts.deleted == 0


@pytest.mark.parametrize("write", ["append", "history", "replace"])
def test_what_cant_be_made_again_is_skipped(tmp_path: Path, write: str) -> None:
    url = sqlite(tmp_path)
    text = stream("notes").replace("key: id}", f"key: id, write: {write}}}")
    run_from(all_kept(text), url, notes=[{"id": "1"}])
    before = table(url, "notes", order="1")
    report = again(all_kept(text), url)
    assert [each.status for each in report.streams] == ["skipped"]
    assert report.streams[0].message
    assert table(url, "notes", order="1") == before


def test_an_interrupted_read_is_gone_on_with_afterwards(tmp_path: Path) -> None:
    url, the_plan = sqlite(tmp_path), all_kept(stream("notes"), batch=2)
    broken: Any = {"notes": [{"id": "1"}, {"id": "2"}, {"id": "3"}, Interrupted("stop")]}
    load_from(the_plan, url, Sources(broken))
    assert again(the_plan, url).exit_code == 0
    report = run_from(the_plan, url, notes=[{"id": str(n)} for n in range(1, 6)])
    assert report.streams[0].resumed or report.counts.fetched == 3
    assert len(rows(url, "notes", "id")) == 5


def test_a_rehearsal_counts_and_writes_nothing(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    first, second = all_kept(stream("notes")), all_kept(stream("notes", "size: size"))
    run_from(first, url, notes=[{"id": "1", "size": "s"}, {"id": "2"}, {"id": None}])
    tables = ("crmmap_runs", "crmmap_batches", "crmmap_rejects", "crmmap_cursors", "notes")
    before = [table(url, name, order="1") for name in tables]
    report = again(second, url, None, True)
    assert (report.dry_run, report.counts.updated, report.counts.rejected) == (True, 2, 1)
    assert report.counts.balanced
    assert [table(url, name, order="1") for name in tables] == before


def test_records_that_were_withheld_are_told(tmp_path: Path) -> None:
    url, the_plan = (
        sqlite(tmp_path),
        replace(all_kept(stream("notes")), secrets=(Secret("hidden!"),)),
    )
    run_from(the_plan, url, notes=[{"id": "1", "echo": "hidden!"}, {"id": "2"}])
    report = again(the_plan, url)
    assert report.counts.fetched == 1
    assert "1 records are not in the archive: secret, or too long" in report.remarks


def test_listed_fields_come_back() -> None:
    found = (FoundField(name="a b", type="enumeration"), FoundField(name="ü", type=""))
    assert unpack_fields(pack_fields(found)) == found


# --- as people run it ----------------------------------------------------------------------------


def test_remap_is_a_command(tmp_path: Path) -> None:
    mapping, store = tmp_path / "people.yaml", f"sqlite:///{tmp_path / 'p.db'}"
    mapping.write_text(PEOPLE.replace("source: {", "archive: all\nsource: {", 1))
    (tmp_path / "people.csv").write_text('id,email,age,city\n1,a@b.cd,3,"x\ny"\n2,b@c.de,,\n3,no\n')
    given = ("--set", f"people={tmp_path / 'people.csv'}", "--store", store, "--quiet", "--json")
    ran = crmmap(tmp_path, "run", str(mapping), *given)
    assert ran.code == 0, ran.err
    assert ran.json["streams"][0]["archived"]["pages"] == 1
    mapping.write_text(mapping.read_text().replace("      age:", "      city: city\n      age:"))
    (tmp_path / "people.csv").unlink()
    common = ("remap", str(mapping), "--store", store, "--quiet", "--json")
    done = crmmap(tmp_path, *common, "--since", ran.json["run_id"])
    assert done.code == 0, done.err
    report = done.json
    assert (report["kind"], report["counts"]["updated"]) == ("remap", 2)
    assert report["counts"]["rejected"] == ran.json["counts"]["rejected"] == 1
    assert rows(store, "people", "id", "city") == [("1", "x\ny"), ("2", None)]
    wrong = crmmap(tmp_path, *common, "--since", "yesterday")
    assert wrong.code == 2
    assert "--since" in wrong.err
    assert "Traceback" not in wrong.err


SOURCES = {
    "xml": """
source: {kind: files, format: {kind: xml}}
streams:
  people:
    file: FOLDER/*.xml
    records: /people/person
    fields: {id: "@id", name: name, file: {value: "{{ file.name }}"}}
""",
    "json": """
source: {kind: files, format: {kind: json}}
streams:
  people:
    file: FOLDER/a.json
    records: items
    shape: [{explode: {of: tags, as: tag}}]
    fields: {id: id, name: tag, amount: {from: amount, type: decimal}}
""",
    "csv": """
source: {kind: files}
streams:
  people:
    file: FOLDER/a.csv
    fields: {id: id, name: {from: [name, nick]}, size: {from: size, type: integer}}
""",
    "sql": """
settings: {database: {env: DATABASE, secret: true}}
source: {kind: sql, url: "{{ settings.database }}"}
streams:
  people:
    query: {table: people}
    fields: {id: {from: id, type: integer}, name: name, born: {from: born, type: date}}
""",
}


def filled(folder: Path) -> None:
    (folder / "a.xml").write_text('<people><person id="1"><name>Ånn\n"</name></person></people>')
    (folder / "b.xml").write_text(
        '<people><person id="2"/><person><name>x</name></person></people>'
    )
    items = '{"id": 1, "amount": 1.50, "tags": ["a"]}, {"id": 2, "tags": ["b"], "amount": "many"}'
    (folder / "a.json").write_text(f'{{"items": [{items}]}}')
    (folder / "a.csv").write_text('id,nick,size\n1,"a,b",3\n2,,\n3,x,large\n4\n')
    engine = sa.create_engine(f"sqlite:///{folder / 'a.db'}")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE people (id INTEGER, name TEXT, born TEXT)"))
        people = "(1, 'Ann', '1990-01-02'), (2, NULL, NULL), (3, 'Bo', 'then')"
        connection.execute(sa.text(f"INSERT INTO people VALUES {people}"))
    engine.dispose()


@pytest.mark.parametrize("kind", SOURCES)
def test_what_any_source_sent_comes_back_as_it_was(tmp_path: Path, kind: str) -> None:
    filled(tmp_path)
    text = SOURCES[kind].replace("FOLDER", str(tmp_path))
    spec = mapping(f"crmmap: 1\nname: m\narchive: all{text}    table: {{name: people, key: id}}\n")
    given = {"database": f"sqlite:///{tmp_path / 'a.db'}"} if kind == "sql" else {}
    made = compile_plan(spec, resolve_settings(spec, {}, given))
    url = sqlite(tmp_path)
    first = run_once(made, url, keep_tokens=False)
    assert first.exit_code == 0, first
    before = table(url, "people", order="1")
    with closing(Store.open(url, application="tests")) as store:
        archive = Archive(plan=made, store=store, since=None)
        stop = threading.Event()
        with open_reader(made, stop=stop, clock=lambda: datetime.now(UTC)) as reader:
            report = remap(archive, reader, options=new_options(), stop=stop)
    assert report.remarks == ()
    counts = report.counts
    assert (counts.fetched, counts.rejected) == (first.counts.fetched, first.counts.rejected)
    assert counts.unchanged == first.counts.inserted >= 1
    assert table(url, "people", order="1") == before


LISTED = """  members:
    request: {path: /members}
    table: {name: members, key: id}
    fields: {id: id}
    fields_from:
      request: {path: /properties}
      name: name
      type: type
      types: {string: text}
      from: "properties.{name}"
"""


class Listing(Sources):
    """Lists a field of its own."""

    def fields(self, step: Step) -> tuple[FoundField, ...]:
        return (FoundField(name="Colour", type="string"),)


def test_fields_that_the_source_listed_are_known_without_it(tmp_path: Path) -> None:
    url, made = sqlite(tmp_path), all_kept(LISTED)
    given: Any = {"members": [{"id": "1", "properties": {"Colour": "red", "size": "s"}}]}
    load_from(made, url, Listing(given))
    assert rows(url, "members", "id", "colour") == [("1", "red")]
    more = all_kept(LISTED.replace("{id: id}", "{id: id, size: properties.size}"))
    assert again(more, url, None, True).counts.updated == 1
    assert again(more, url).counts.updated == 1
    assert rows(url, "members", "id", "colour", "size") == [("1", "red", "s")]


def test_a_stream_finds_its_pages_under_the_name_that_it_had(tmp_path: Path) -> None:
    url, renamed = sqlite(tmp_path), all_kept(stream("remarks", extra="    was: notes\n"))
    run_from(all_kept(stream("notes")), url, notes=[{"id": "1"}])
    assert again(renamed, url).counts.inserted == 1
    assert again(renamed, url).counts.unchanged == 1  # now they stand under the new one
