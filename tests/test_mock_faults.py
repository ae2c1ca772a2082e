"""A mock with a bad day: a run against it ends with the tables of a run on a good one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa

from commands import PEOPLE, ROOT, crmmap, write
from crmmap.errors import ExitCode
from crmmap.events import RunReport
from crmmap.kinds.source import Http
from crmmap.kinds.tokens import MOCKED
from crmmap.mock import mocked, serve, world_of
from crmmap.mock.chance import generator
from crmmap.mock.faults import IN_A_ROW, Asked, Faults, repeated
from crmmap.spec.read import read_mapping
from invented import MAPPING, load, sqlite, table

SEEDS = (0, 1)
OWN = ("_crmmap_run_id", "_crmmap_synced_at")
MARK = "_crmmap_deleted_at"

PAGINATED = """
crmmap: 1
name: fleet
settings:
  key: {env: FLEET_KEY, secret: true}
  id: {env: FLEET_ID}
source:
  kind: http
  base_url: "https://api.fleet.example/v2"
  auth: %s
streams:
"""
STREAM = """
  %(name)s:
    request: {path: /%(name)s, params: {limit: '7'}}
    records: items[]
    pagination: %(pagination)s
    table: {name: %(name)s, key: id}
    fields: {id: id, name: {from: name}, changed: {from: changed, type: datetime}}
"""
MARKUP = """
  markup:
    format: {kind: xml}
    request: {path: /markup, params: {limit: '7'}}
    records: /list/item
    pagination: {kind: offset, param: skip}
    table: {name: markup, key: id}
    fields: {id: id, name: {from: name}, changed: {from: changed, type: datetime}}
"""
RULES = """
  responses:
    - {status: 429, then: {kind: fail, message: never again}}
    - {status: [500, 502], then: skip}
    - {status: 503, then: {kind: wait, seconds: 600}}
    - {body: never, then: {kind: fail, message: never}}
"""
PAGINATIONS = {
    "none": "none",
    "body": "{kind: token, token: next, param: after}",
    "header": "{kind: token, token_header: X-Next, header: X-After}",
    "link": "link",
    "address": "{kind: next_url, url: links.next}",
    "pages": "{kind: page, param: page, pages: pages, total: count}",
    "until_empty": "{kind: page, param: page}",
    "offset": "{kind: offset, param: skip, total: count}",
    "short": "{kind: offset, param: skip, size: 7}",
    "keyset": "{kind: keyset, from: id, param: since}",
    "capped": "{kind: offset, param: skip, cap: {records: 30, from: id, param: since}}",
}
AUTHS = {
    "bearer": '{kind: bearer, token: "{{ settings.key }}"}',
    "api_key": '{kind: api_key, into: query, keys: {key: "{{ settings.key }}"}}',
    "hmac": """{kind: hmac, key: "{{ settings.key }}", message: "{epoch}",
                headers: {X-Sign: "{signature}"}}""",
    "oauth2": """{kind: oauth2, grant: refresh_token, client_id: "{{ settings.id }}",
                  token_url: "https://id.fleet.example/token",
                  refresh_token: "{{ settings.key }}"}""",
    "steps": """{kind: steps, headers: {X-Session: "{{ taken.session }}"},
                 steps: [{url: "https://api.fleet.example/login", take: {session: data.id},
                          form: {key: "{{ settings.key }}"}}]}""",
}


def fleet(auth: str, rules: str = "") -> str:
    head = (PAGINATED % AUTHS[auth]).replace("streams:\n", f"{rules.strip(chr(10))}\nstreams:\n")
    return (
        head
        + MARKUP
        + "".join(
            STREAM % {"name": name, "pagination": pagination}
            for name, pagination in PAGINATIONS.items()
        )
    )


def run(text: str, folder: Path, *, faults: float, seed: int = 0) -> tuple[RunReport, int]:
    folder.mkdir()
    mapping = read_mapping(text.encode(), "invented.yaml")
    with mocked(mapping, {}, records=60, seed=seed, faults=faults) as plan:
        return load(plan, sqlite(folder)), len(plan.steps)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("auth", AUTHS)
def test_every_way_to_page_ends_with_the_same_tables(tmp_path: Path, auth: str, seed: int) -> None:
    good, _ = run(fleet(auth), tmp_path / "good", faults=0, seed=seed)
    bad, _ = run(fleet(auth), tmp_path / "bad", faults=0.3, seed=seed)
    assert [each.message for each in (*good.streams, *bad.streams) if each.status != "done"] == []
    for name in (*PAGINATIONS, "markup"):
        one, other = (table(sqlite(tmp_path / each), name) for each in ("good", "bad"))
        assert len(one) == 60
        assert one == other, name
    twice = bad.counts.duplicate + bad.counts.unchanged
    assert twice > 0
    assert bad.counts.fetched == good.counts.fetched + twice


def test_what_the_mapping_has_rules_for_does_not_go_wrong(tmp_path: Path) -> None:
    text = fleet("bearer", RULES)
    good, _ = run(text, tmp_path / "good", faults=0)
    bad, _ = run(text, tmp_path / "bad", faults=1)
    assert [each.message for each in (*good.streams, *bad.streams) if each.message] == []
    for name in PAGINATIONS:
        one, other = (table(sqlite(tmp_path / each), name) for each in ("good", "bad"))
        assert one == other, name


@pytest.mark.parametrize("rate", [0.1, 1.0])
def test_lookups_and_versions_end_the_same(tmp_path: Path, rate: float) -> None:
    run(MAPPING, tmp_path / "good", faults=0)
    run(MAPPING, tmp_path / "bad", faults=rate)
    for name in ("shipyard_sailors", "shipyard_voyages"):
        one, other = (table(sqlite(tmp_path / each), name) for each in ("good", "bad"))
        assert one == other


def _lasting(row: Mapping[str, object]) -> dict[str, object]:
    """Return what of a row does not depend on when it was written: of its mark, that it has one."""
    return {
        name: value is not None if name == MARK else value
        for name, value in row.items() if name not in OWN
    }  # fmt: skip


def tables(store: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the tables of a store that are not the ledger's, with their rows."""
    engine = sa.create_engine(f"sqlite:///{store}")
    try:
        for name in sorted(sa.inspect(engine).get_table_names()):
            if name.startswith("crmmap_"):
                continue
            with engine.connect() as connection:
                rows = connection.execute(sa.text(f'SELECT * FROM "{name}"')).mappings()
                yield (
                    name,
                    sorted(json.dumps(_lasting(row), default=str) for row in rows),
                )
    finally:
        engine.dispose()


@pytest.mark.parametrize(
    ("name", "rate"), [("hubspot", "0.1"), ("hubspot", "0.6"), ("marketsharp", "0.2")]
)
def test_the_command_ends_with_the_same_tables(tmp_path: Path, name: str, rate: str) -> None:
    mapping = str(ROOT / "mappings" / f"{name}.yaml")
    words = ("run", mapping, "--mock", "--records", "120", "--json", "--quiet")
    good = crmmap(tmp_path, *words, "--store", "sqlite:///good.db")
    bad = crmmap(tmp_path, *words, "--faults", rate, "--store", "sqlite:///bad.db")
    assert (good.code, bad.code) == (ExitCode.OK, ExitCode.OK), bad.err
    assert dict(tables(tmp_path / "good.db")) == dict(tables(tmp_path / "bad.db"))
    fetched, retries = (
        [sum(count(each) for each in ran.json["streams"]) for ran in (good, bad)]
        for count in (lambda each: each["counts"]["fetched"], lambda each: each["retries"])
    )
    assert fetched[0] < fetched[1]
    assert retries[0] == 0 < retries[1]


def test_faults_without_a_mock_are_refused(tmp_path: Path) -> None:
    mapping = str(ROOT / "mappings" / "hubspot.yaml")
    ran = crmmap(tmp_path, "run", mapping, "--faults", "0.1")
    assert ran.code == ExitCode.USAGE
    assert "--faults says what a mock invents. Add --mock" in ran.err


def test_files_have_no_faults_and_the_command_says_so(tmp_path: Path) -> None:
    write(tmp_path, people_yaml=PEOPLE)
    ran = crmmap(tmp_path, "run", "people.yaml", "--mock", "--faults", "0.5", "--dirty", "0")
    assert ran.code == ExitCode.OK
    assert "people: --faults changes nothing: only requests to an HTTP source go wrong" in ran.err


# --- what goes wrong --------------------------------------------------------------------------


def faults(rate: float = 0.5, seed: int = 0) -> Faults:
    return Faults(rate=rate, seed=seed, source=Http(base_url="https://api.fleet.example"))


def page(key: str = "page", *marks: str, safe: bool = True) -> Asked:
    return Asked(key=key, marks=frozenset(marks), safe=safe, gains=False)


def test_the_seed_decides_whatever_comes_in_between() -> None:
    alone, among = faults(), faults()
    one = [alone.of(page("a")) for _ in range(50)]
    other = []
    for at in range(50):
        among.of(page(f"b{at}"))
        other.append(among.of(page("a")))
    assert one == other
    assert one != [faults(seed=1).of(page("a")) for _ in range(50)]


def test_a_request_goes_wrong_a_few_times_in_a_row_at_most() -> None:
    always = faults(rate=1)
    came = [always.of(page()) for _ in range(3 * (IN_A_ROW + 1))]
    assert [each is None for each in came] == [*[False] * IN_A_ROW, True] * 3


def test_every_fault_comes_and_none_for_nothing() -> None:
    some = faults()
    came = {some.of(page(f"p{at}", f"{MOCKED}-1")) for at in range(500)}
    assert came == {
        "throttled", "throttled_until", "unready", "cut", "truncated", "slow", "expired", None,
    }  # fmt: skip
    good = faults(rate=0)
    assert {good.of(page(f"p{at}", f"{MOCKED}-1")) for at in range(100)} == {None}


def test_a_request_that_must_not_be_sent_twice_is_answered() -> None:
    some = faults(rate=1)
    assert {some.of(page(f"p{at}", safe=False)) for at in range(100)} == {"slow"}


def test_an_expired_token_is_refused_until_another_comes() -> None:
    some = faults(rate=1)
    key = next(str(at) for at in range(100) if some.of(page(str(at), "t-1")) == "expired")
    assert [some.of(page(key, "t-1")) for _ in range(5)] == ["expired"] * 5
    assert "expired" not in [some.of(page(key, f"t-{at}")) for at in range(2, 50)]


def test_a_token_that_has_expired_is_really_exchanged() -> None:
    world = world_of(
        read_mapping(fleet("oauth2").encode(), "invented.yaml"), {}, records=5, faults=1
    )
    with serve(world) as server:
        given = set()
        for _ in range(20):
            with suppress(requests.RequestException):  # one of the faults
                answer = requests.post(f"{server.url}/token", data={}, timeout=10)
                given.add(answer.json().get("access_token"))
    assert len(given - {None}) > 1


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_no_record_is_missing_and_those_that_come_again_are_not_the_first(
    seed: int, ordered: bool
) -> None:
    every = tuple(range(1000))
    listed = repeated(every, rate=0.1, seed=seed, path="/p", ordered=ordered, first=False)
    firsts = list(dict.fromkeys(listed))
    assert firsts == [*every]
    assert 1050 < len(listed) < 1200
    assert ordered == (listed == sorted(listed))
    assert listed == repeated(every, rate=0.1, seed=seed, path="/p", ordered=ordered, first=False)
    longer = repeated(every, rate=0.1, seed=seed, path="/p", ordered=ordered, first=True)
    assert longer in (listed, [*listed, listed[-1]])


def test_a_list_may_shrink_after_its_first_page() -> None:
    lists = [
        [repeated(tuple(range(9)), rate=0.1, seed=seed, path="/p", ordered=True, first=first)
         for first in (True, False)] for seed in range(20)
    ]  # fmt: skip
    assert {len(one) - len(other) for one, other in lists} == {0, 1}


def test_generators_of_requests_differ() -> None:
    assert generator(0, "fault", "a", "0").random() != generator(0, "fault", "a", "1").random()
