"""Rejects: how long each is open, and what may be asked of them."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from commands import write
from crmmap.load import Tally
from crmmap.load.accounts import TAKEN_SCHEMA
from crmmap.load.reject_queries import (
    Which,
    count_rejects,
    drop_rejects,
    find_rejects,
    in_stretches,
    purge_rejects,
)
from crmmap.load.rejects import REMEMBERED
from crmmap.values import REJECT_SCHEMA, Counts
from inside import Command, crmmap  # noqa: F401  (fixture)
from stores import Loader, load, store_url  # noqa: F401  (fixtures)

Load = Callable[..., Loader]
REASONS = [("email", "type"), ("name", "required")]


def batch(
    it: Loader,
    refused: Sequence[tuple[str | None, str]] = (),
    taken: Sequence[str] = (),
    *,
    versioned: bool = False,
    keeping: bool = False,
    taken_from: int = 1000,
    page: int | None = 1,
    reasons: Sequence[tuple[str | None, str]] = REASONS[:1],
) -> None:
    """Commit a batch with these refused records (key, raw) at places 0, 1, …, and these loaded."""
    told = json.dumps([{"field": name, "rule": rule, "message": "m"} for name, rule in reasons])
    rejects = [(page, at, key, told, raw) for at, (key, raw) in enumerate(refused)]
    loaded = [(1, at, key, "inserted") for at, key in enumerate(taken, taken_from)]
    tally = Tally(
        counts=Counts(
            fetched=len(rejects) + len(loaded), rejected=len(rejects), inserted=len(loaded)
        ),
        rejects=pl.DataFrame(rejects, schema=REJECT_SCHEMA, orient="row"),
        taken=pl.DataFrame(loaded, schema=TAKEN_SCHEMA, orient="row"),
        versioned=versioned,
        keeping=keeping,
    )
    it.mark, _ = it.store.commit(it.mark, lambda _: tally)


def states(it: Loader) -> list[tuple[str | None, str | None]]:
    """Return key and outcome of all rejects, the oldest first."""
    which = Which(mappings=["m"], state="all")
    found = it.store.ask(lambda on: list(find_rejects(on, which, oldest_first=True)))
    return [(each.key, each.outcome) for each in found]


# --- how long one is open -------------------------------------------------------------------------


def test_a_record_that_every_run_refuses_has_one_open_reject(load: Load) -> None:
    it = load()
    batch(it, [("a", "1"), ("b", "1")])
    it.next_run("run2")
    batch(it, [("a", "2")])

    assert states(it) == [("a", "superseded"), ("b", None), ("a", None)]
    resolved = it.sql("SELECT resolved_by FROM crmmap_rejects WHERE outcome = 'superseded'")
    assert resolved == [("run2",)]


def test_a_record_that_is_loaded_resolves_its_reject(load: Load) -> None:
    it = load()
    batch(it, [("a", "1"), ("b", "1")])
    it.next_run("run2")
    batch(it, taken=["a", "c"])

    assert states(it) == [("a", "loaded"), ("b", None)]


def test_a_reject_of_this_run_is_resolved_by_a_later_batch(load: Load) -> None:
    it = load()
    batch(it, [("a", "1"), ("b", "1")])
    batch(it, taken=["a"])

    assert states(it) == [("a", "loaded"), ("b", None)]


def test_a_reject_without_a_key_is_known_by_its_record(load: Load) -> None:
    it = load()
    batch(it, [(None, "1"), (None, "2")])
    it.next_run("run2")
    batch(it, [(None, "1")])

    assert [outcome for _, outcome in states(it)] == ["superseded", None, None]


def test_within_a_batch_what_was_read_last_counts(load: Load) -> None:
    it = load()
    batch(it, [("a", "1"), ("a", "2"), ("b", "1")], taken=["b"])
    batch(it, [("c", "0"), ("c", "1")], taken=["c"], taken_from=0)

    assert states(it) == [
        ("a", "superseded"), ("a", None), ("b", "loaded"), ("c", "superseded"), ("c", None),
    ]  # fmt: skip


def test_where_versions_decide_the_order_within_a_run_resolves_nothing(load: Load) -> None:
    """The one that was refused may be newer than the one that was loaded after it."""
    it = load()
    batch(it, [("a", "1"), ("a", "2")], versioned=True)
    batch(it, taken=["a"], versioned=True)
    assert states(it) == [("a", None), ("a", None)]

    it.next_run("run2")
    batch(it, taken=["a"], versioned=True)
    assert states(it) == [("a", "loaded"), ("a", "loaded")]


def test_where_each_version_is_kept_a_reject_is_of_one_of_them(load: Load) -> None:
    it = load()
    batch(it, [("a", "1"), ("a", "2")], ["a"], keeping=True)
    it.next_run("run2")
    batch(it, [("a", "2")], ["a"], keeping=True)

    assert states(it) == [("a", None), ("a", "superseded"), ("a", None)]


def test_a_record_that_had_waited_supersedes_no_reject_of_a_newer_one(load: Load) -> None:
    it = load()
    batch(it, [("a", "newer")])
    batch(it, [("a", "older"), ("b", "older")], page=None)

    assert sorted(states(it), key=str) == [("a", "superseded"), ("a", None), ("b", None)]
    found = it.store.ask(lambda on: list(find_rejects(on, Which(mappings=["m"]), raw=True)))
    assert sorted(str(each.raw) for each in found) == ["newer", "older"]


def test_of_equal_versions_that_had_waited_each_has_its_reject_whatever_a_batch_holds(
    load: Load,
) -> None:
    """Which of them is kept is decided by their contents, once they are tried again."""
    it = load()
    batch(it, [("a", "1"), ("a", "2")], page=None, versioned=True)
    batch(it, [("a", "3")], page=None, versioned=True)
    assert states(it) == [("a", None)] * 3


def test_more_open_rejects_than_are_kept_in_mind_are_resolved_all_the_same(load: Load) -> None:
    it = load()
    batch(it, [(f"k{n}", "1") for n in range(REMEMBERED + 1)])
    assert it.mark.refused is None
    batch(it, taken=["k7"])
    it.next_run("run2")
    assert it.mark.refused == {f"k{n}" for n in range(REMEMBERED + 1)} - {"k7"}
    batch(it, taken=["k8"])

    assert [key for key, outcome in states(it) if outcome == "loaded"] == ["k7", "k8"]


def test_rejects_of_another_stream_are_left_alone(load: Load) -> None:
    it = load()
    batch(it, [("a", "1")])
    it.mark = it.stream(stream="other")
    batch(it, taken=["a"])

    assert states(it) == [("a", None)]


def test_a_renamed_stream_keeps_its_rejects(load: Load) -> None:
    it = load()
    batch(it, [("a", "1")])
    it.mark = it.stream(stream="renamed", was=("s",))
    batch(it, taken=["a"])

    assert states(it) == [("a", "loaded")]


# --- what may be asked ----------------------------------------------------------------------------


def keys(it: Loader, **asked: object) -> list[str | None]:
    which = Which(mappings=["m"], **asked)  # type: ignore[arg-type]
    found = it.store.ask(lambda on: [each.key for each in find_rejects(on, which)])
    assert it.store.ask(lambda on: count_rejects(on, which)) == len(found)
    return sorted(found, key=str)


def test_rejects_are_found_by_what_is_given(load: Load) -> None:
    it = load()
    batch(it, [("a", "1")])
    batch(it, [("b", "1")], reasons=REASONS)
    it.next_run("run2")
    batch(it, [("c", "1")], reasons=[(None, "record")])

    assert keys(it) == ["a", "b", "c"]
    assert keys(it, runs=["run1"]) == ["a", "b"]
    assert keys(it, streams=["other"]) == []
    assert keys(it, fields=["email"]) == ["a", "b"]
    assert keys(it, rules=["required", "record"]) == ["b", "c"]
    # Both must be of one reason.
    assert keys(it, fields=["email"], rules=["required"]) == []
    assert keys(it, before=datetime(2020, 1, 1, tzinfo=UTC)) == []
    assert keys(it, before=datetime(2200, 1, 1, tzinfo=UTC)) == ["a", "b", "c"]
    assert keys(it, state="resolved") == []


def test_in_stretches_each_reject_comes_once_whatever_becomes_of_it(load: Load) -> None:
    it = load()
    batch(it, [(each, "1") for each in "abcde"])
    batch(it, [("f", "1"), ("g", "1")], page=None)
    batch(it, [("h", "1")], reasons=REASONS[1:])
    it.next_run("run2")
    batch(it, [("i", "1"), ("j", "1")])
    # What one transaction wrote, and what an older crmmap called nothing, has no time of its own.
    it.sql("UPDATE crmmap_rejects SET created_at = (SELECT taken_at FROM crmmap_locks)")
    it.sql("UPDATE crmmap_rejects SET id = NULL WHERE raw = '1' AND \"key\" = 'j'")
    which = Which(mappings=["m"], fields=["email"])
    found = []
    for some in in_stretches(it.store.ask, which, count=2):
        assert len(some) <= 2
        found += some
        ids = [each.id for each in some[:1]]
        it.store.ask(lambda on, ids=ids: drop_rejects(on, Which(mappings=["m"], ids=ids), "host:1"))
    assert [each.key for each in found] == [*"abcdefg", "i"]
    every = it.store.ask(lambda on: list(find_rejects(on, which, oldest_first=True)))
    assert [each.key for each in every] == [*"bdf", "j"]


def test_dropped_rejects_stay_until_they_are_purged(load: Load) -> None:
    it = load()
    batch(it, [("a", "1"), ("b", "1")])
    which = Which(mappings=["m"], fields=["email"])
    first = it.store.ask(lambda on: next(find_rejects(on, which)))

    by_id = Which(mappings=["m"], ids=[first.id[:6]])
    assert it.store.ask(lambda on: drop_rejects(on, by_id, "host:1")) == 1
    assert it.store.ask(lambda on: drop_rejects(on, by_id, "host:1")) == 0
    assert sorted(states(it), key=str) == sorted(
        [(first.key, "dropped"), ("a" if first.key == "b" else "b", None)], key=str
    )
    resolved = Which(mappings=["m"], state="resolved")
    assert it.store.ask(lambda on: purge_rejects(on, resolved)) == 1
    assert len(states(it)) == 1


# --- the commands ---------------------------------------------------------------------------------

MAPPING = """
crmmap: 1
name: people
settings:
  people: {env: PEOPLE_FILE, default: people.csv}
  token: {env: PEOPLE_TOKEN, secret: true, required: false}
source: {kind: files}
streams:
  people:
    file: "{{ settings.people }}"
    table: {name: people, key: id}
    fields:
      id: id
      email: {from: email, type: email}
      age: {from: age, type: integer}
"""
ROWS = "id,email,age\n1,a@example.com,3\n2,s3cr3t-canary,old\n3,c@example.com,elder\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, people_yaml=MAPPING, people_csv=ROWS)
    return tmp_path


def test_rejects_are_listed_without_their_values(crmmap: Command, folder: Path) -> None:
    crmmap("run", "people.yaml", "-q")
    told = crmmap("rejects", "list", "people.yaml")

    assert told.code == 0
    assert "email: type" in told.out
    assert "age: type" in told.out
    assert "2 open rejects" in told.out
    assert "s3cr3t-canary" not in told.out
    assert "s3cr3t-canary" in crmmap("rejects", "list", "people.yaml", "--raw").out
    limited = crmmap("rejects", "list", "people.yaml", "--limit", "1").out
    assert "2 open rejects, of which the newest 1 are shown" in limited
    found = crmmap("rejects", "list", "people.yaml", "--field", "email", "--json").json
    assert found["total"] == 1
    assert found["rejects"][0]["key"] == "2"
    assert found["rejects"][0]["state"] == "open"
    assert "raw" not in found["rejects"][0]


def test_rejects_are_counted_by_rule(crmmap: Command, folder: Path) -> None:
    crmmap("run", "people.yaml", "-q")

    assert crmmap("rejects", "list", "people.yaml", "--by", "rule", "--json").json == {
        "total": 2,
        "counts": [
            {"stream": "people", "field": "age", "rule": "type", "rejects": 2},
            {"stream": "people", "field": "email", "rule": "type", "rejects": 1},
        ],
    }
    assert (
        "people  age    type        2"
        in crmmap("rejects", "list", "people.yaml", "--by", "rule").out
    )


def test_a_reject_is_shown_whole_but_for_secrets(
    crmmap: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crmmap("run", "people.yaml", "-q")
    found = crmmap("rejects", "list", "people.yaml", "--field", "email", "--json").json["rejects"]
    told = crmmap("rejects", "show", "people.yaml", found[0]["id"][:8])

    assert told.code == 0
    assert '  "email": "s3cr3t-canary",\n' in told.out
    assert "place 3" in told.out
    monkeypatch.setenv("PEOPLE_TOKEN", "s3cr3t-canary")
    hidden = crmmap("rejects", "show", "people.yaml", found[0]["id"], "--json")
    assert json.loads(hidden.json[0]["raw"]) == {"id": "2", "email": "***", "age": "old"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "people.yaml", "nope"), "there is no reject 'nope' of people"),
        (("drop", "people.yaml"), "--all drops all of them"),
        (("drop", "people.yaml", "--all", "--purge"), "--before 2024-01-31"),
        (("drop", "people.yaml", "--all", "--state", "all"), "only open rejects are dropped"),
        (("drop", "people.yaml", "--before", "soon"), "is no moment"),
        (("list", "people.yaml", "--store", "sqlite:///other.db"), "there is no such file"),
        (("list", "people.yaml", "-s", "peple"), "Did you mean 'people'?"),
    ],
)  # fmt: skip
def test_what_can_not_be_asked_is_told(
    crmmap: Command, folder: Path, words: tuple[str, ...], said: str
) -> None:
    crmmap("run", "people.yaml", "-q")
    told = crmmap("rejects", *words)

    assert told.code == 2
    assert said in told.err
    assert not (folder / "other.db").exists()


def test_a_store_without_any_run_has_no_rejects_to_list(crmmap: Command, folder: Path) -> None:
    (folder / "crmmap.db").touch()
    told = crmmap("rejects", "list", "people.yaml")

    assert told.code == 2
    assert "nothing was ever run into this store" in told.err


def test_rejects_are_dropped_and_purged(crmmap: Command, folder: Path) -> None:
    crmmap("run", "people.yaml", "-q")
    dry = crmmap("rejects", "drop", "people.yaml", "--field", "email", "--dry-run")
    assert dry.out == "1 open reject would be dropped\n"
    assert (
        crmmap("rejects", "drop", "people.yaml", "--field", "email").out
        == "1 open reject dropped\n"
    )
    left = crmmap("rejects", "list", "people.yaml", "--state", "all").out
    assert "dropped" in left
    assert crmmap("rejects", "list", "people.yaml", "--json").json["total"] == 1
    purged = crmmap("rejects", "drop", "people.yaml", "--purge", "--before", "2200-01-01", "--all")
    assert purged.out == "1 resolved reject purged\n"
    assert crmmap("rejects", "list", "people.yaml", "--state", "all", "--json").json["total"] == 1


def test_a_record_is_set_out_with_its_own_digits() -> None:
    from crmmap.report.rejects import set_out

    raw = '{"a":1.10,"b":[],"c":{"d":["x\\u00e9",1e400]},"e":{}}'
    assert set_out(raw) == (
        '{\n  "a": 1.10,\n  "b": [],\n  "c": {\n    "d": [\n      "xé",\n      1e400\n    ]\n  },\n'
        '  "e": {}\n}'
    )
    assert set_out("not, json") == "not, json"
