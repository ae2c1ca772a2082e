"""Several sources in one mapping: each stream reads from its own, and one may stand for another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import crmmap, write
from fault_server import FaultServer, answer
from invented import table

TWO_WAYS = """
crmmap: 1
name: harbour
settings:
  url: {env: HARBOUR_URL, required: false, help: Where it answers}
  key: {env: HARBOUR_KEY, required: false, secret: true, help: Ask the harbour master}
  towns: {env: HARBOUR_TOWNS, required: false, help: The export of towns}
  ships: {env: HARBOUR_SHIPS, required: false, help: The export of ships}
sources:
  api:
    kind: http
    base_url: "{{ settings.url }}"
    auth: {kind: bearer, token: "{{ settings.key }}"}
  export: {kind: files}
streams:
  towns:
    source: export
    file: "{{ settings.towns }}"
    table: {name: towns, key: id}
    fields: {id: Id, name: Name, note: {from: Note, optional: true}}
  towns_online:
    source: api
    instead_of: towns
    request: {path: /towns}
    table: {name: towns, key: id}
    fields: {id: id, name: name}
  ships:
    source: export
    file: "{{ settings.ships }}"
    table: {name: ships, key: id}
    fields:
      id: Id
      town: {from: Town, lookup: {stream: towns, missing: reject}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, harbour_yaml=TWO_WAYS)
    (tmp_path / "towns.csv").write_text("Id,Name\nt1,Hull\n")
    (tmp_path / "ships.csv").write_text("Id,Town\ns1,t1\ns2,t9\n")
    return tmp_path


@pytest.fixture
def api() -> Iterator[FaultServer]:
    with FaultServer(answer(b'[{"id": "t1", "name": "Kingston upon Hull"}]')) as server:
        yield server


def towns(folder: Path) -> list[tuple[object, ...]]:
    return [row[:2] for row in table(f"sqlite:///{folder / 'crmmap.db'}", "towns")]


FILES = ("--set", "towns=towns.csv", "--set", "ships=ships.csv")


def test_a_source_without_its_settings_is_not_there(folder: Path) -> None:
    ran = crmmap(folder, "run", "harbour.yaml", *FILES, "--quiet", "--json")
    assert ran.code == 0, ran.err
    streams = {each["stream"]: each for each in ran.json["streams"]}
    assert streams["towns_online"]["status"] == "skipped"
    message = "its source api is not set up: HARBOUR_KEY, HARBOUR_URL"
    assert streams["towns_online"]["message"] == message
    assert towns(folder) == [("t1", "Hull")]
    assert streams["ships"]["counts"]["inserted"] == streams["ships"]["counts"]["rejected"] == 1


def test_a_stream_whose_source_is_there_is_read_instead_of_the_other(
    folder: Path, api: FaultServer
) -> None:
    env = {"HARBOUR_URL": api.url, "HARBOUR_KEY": "k"}
    ran = crmmap(folder, "run", "harbour.yaml", *FILES, "--quiet", "--json", env=env)
    assert ran.code == 0, ran.err
    streams = {each["stream"]: each for each in ran.json["streams"]}
    assert streams["towns"]["message"] == "towns_online is read instead"
    assert towns(folder) == [("t1", "Kingston upon Hull")]
    # The ships wait for whichever of the two fills the table of towns.
    assert streams["ships"]["counts"]["inserted"] == 1


def test_the_table_has_the_columns_of_every_stream_that_fills_it(
    folder: Path, api: FaultServer
) -> None:
    """Whichever is ordered first: a parent of the wider stream puts it behind the other."""
    more = """
  notes:
    source: export
    file: "{{ settings.ships }}"
    table: {name: notes, key: id}
    fields: {id: Id}
"""
    text = TWO_WAYS.replace("note: {from: Note, ", "note: {from: Note, lookup: notes, ") + more
    write(folder, harbour_yaml=text)
    env = {"HARBOUR_URL": api.url, "HARBOUR_KEY": "k"}
    for words in (("--source", "export"), ()):
        ran = crmmap(folder, "run", "harbour.yaml", *FILES, *words, "--quiet", env=env)
        assert ran.code == 0, ran.err
    assert towns(folder) == [("t1", "Kingston upon Hull")]


def test_only_the_sources_asked_for_are_read(folder: Path, api: FaultServer) -> None:
    env = {"HARBOUR_URL": api.url, "HARBOUR_KEY": "k"}
    words = ("run", "harbour.yaml", *FILES, "--source", "export", "--quiet", "--json")
    ran = crmmap(folder, *words, env=env)
    streams = {each["stream"]: each for each in ran.json["streams"]}
    assert streams["towns_online"]["message"] == "its source api was not asked for"
    assert towns(folder) == [("t1", "Hull")]
    assert api.requests == []


def test_a_stream_may_be_off_unless_a_setting_asks_for_it(folder: Path) -> None:
    text = TWO_WAYS.replace("  ships:\n", '  ships:\n    when: "{{ settings.url }}"\n')
    write(folder, harbour_yaml=text)
    ran = crmmap(folder, "run", "harbour.yaml", *FILES, "--quiet", "--json")
    said = {each["stream"]: each["message"] for each in ran.json["streams"]}
    assert said["ships"] == "it is off unless it is asked for: HARBOUR_URL"
    words = ("run", "harbour.yaml", *FILES, "--source", "export", "--set", "url=http://127.0.0.1:1")
    ran = crmmap(folder, *words, "--quiet", "--json")
    assert {each["stream"]: each["status"] for each in ran.json["streams"]}["ships"] == "done"


def test_a_source_that_is_not_there_by_name_is_refused(folder: Path) -> None:
    ran = crmmap(folder, "run", "harbour.yaml", "--source", "exprot")
    assert ran.code == 2
    assert "there is no source 'exprot'. Did you mean 'export'?" in ran.err


def test_a_mapping_of_which_nothing_is_set_up_says_what_to_set(folder: Path) -> None:
    ran = crmmap(folder, "run", "harbour.yaml")
    assert ran.code == 2
    assert "harbour has nothing to read. Set up a source:" in ran.err
    assert all(f"HARBOUR_{name}" in ran.err for name in ("URL", "KEY", "TOWNS", "SHIPS"))


def test_the_first_of_several_that_stand_for_one_is_read(folder: Path, api: FaultServer) -> None:
    text = TWO_WAYS.replace(
        "  ships:\n    source: export",
        """  towns_by_hand:
    source: lists
    instead_of: towns
    file: "{{ settings.ships }}"
    table: {name: towns, key: id}
    fields: {id: Id, name: Town}
  ships:
    source: export""",
    ).replace("  export: {kind: files}", "  export: {kind: files}\n  lists: {kind: files}")
    write(folder, harbour_yaml=text)
    env = {"HARBOUR_URL": api.url, "HARBOUR_KEY": "k"}
    ran = crmmap(folder, "run", "harbour.yaml", *FILES, "--quiet", "--json", env=env)
    streams = {each["stream"]: each["message"] for each in ran.json["streams"]}
    assert streams["towns"] == streams["towns_by_hand"] == "towns_online is read instead"
    ran = crmmap(folder, "run", "harbour.yaml", *FILES[2:], "--quiet", "--json", env=env)
    assert ran.json["streams"][0]["message"] == "no file is named for it"


def test_of_several_ways_the_one_that_stands_for_no_other_is_pretended(folder: Path) -> None:
    for words, rows in (((), 20), (("--source", "export"), 20), (("--source", "api"), 20)):
        ran = crmmap(
            folder, "run", "harbour.yaml", "--mock", "--records", "20", "--dirty", "0",
            "--store", "sqlite:///crmmap.db", "--quiet", "--json", *words,
        )  # fmt: skip
        assert ran.code == 0, ran.err
        assert len(towns(folder)) == rows
        status = {each["stream"]: each["status"] for each in ran.json["streams"]}
        assert (status["towns_online"] == "done") == (words == ("--source", "api"))
    plan = crmmap(folder, "plan", "harbour.yaml")
    assert "skipped   towns_online is read instead" in plan.out
