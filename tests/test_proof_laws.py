"""`crmmap test`, its laws: each finds the fault planted for it, and shows it by a case.

A case that is printed must fail on the faulty mapping, and hold on the right one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from commands import crmmap
from crmmap.prove import Asked, Finding, failure
from crmmap.prove.cases import Case, cases_of
from crmmap.prove.proving import prove
from crmmap.prove.trying import Bounds, Broken, tried
from crmmap.prove.yaml_text import block
from crmmap.spec.document import read_document
from crmmap.spec.model import Mapping
from crmmap.spec.read import read_mapping
from invented import MAPPING as SHIPYARD

MAPPINGS = Path(__file__).parent.parent / "mappings"
HUBSPOT = (MAPPINGS / "hubspot.yaml").read_text()
SALESPRO = (MAPPINGS / "salespro.yaml").read_text()
ARRIVY = (MAPPINGS / "arrivy.yaml").read_text()

PORT = """\
crmmap: 1
name: port
source: {kind: http, base_url: "https://port.example"}
streams:
  ships:
    request: {path: /ships, params: {limit: "100"}}
    records: ships[]
    pagination: {kind: offset, param: skip, size: 100}
    table: {name: port_ships, key: id}
    dedupe: {keep: {latest: changed}}
    incremental: {kind: timestamp, field: changed, params: {since: "{{ cursor }}"}}
    fields:
      id: {from: id, required: true}
      imo: {from: imo, type: integer, check: {min: 1000, max: 9999}}
      flag: {from: flag, type: {kind: enum, values: [fr, it, no]}, on_error: null_and_note}
      built: {from: built, type: date, check: {after: "1950-01-01"}}
      entered: {from: entered, type: datetime}
      changed: {from: changed, type: datetime}
      code: {from: code, check: {pattern: "[A-Z]{3}-[0-9]+"}, on_error: null_and_note}
  calls:
    for_each: {stream: ships}
    request: {path: "/ships/{{ parent.id }}/calls"}
    records: calls[]
    pagination: {kind: keyset, from: id, param: after}
    table: {name: port_calls, key: id}
    fields:
      id: {from: id, required: true}
      ship: {value: "{{ parent.id }}", lookup: {stream: ships, missing: stub}}
      pier: pier
"""


FEED = """\
crmmap: 1
name: feed
source:
  kind: http
  base_url: "https://feed.example"
  format:
    kind: xml
    namespaces: {a: "http://www.w3.org/2005/Atom", d: "urn:data", m: "urn:metadata"}
    null_attribute: "m:null"
streams:
  leads:
    request: {path: /Leads, params: {"$top": "40"}}
    records: /a:feed/a:entry
    pagination: {kind: next_url, url: "/a:feed/a:link[@rel='next']/@href"}
    table: {name: feed_leads, key: id}
    dedupe: {keep: {latest: changed}}
    incremental: {kind: timestamp, field: changed, params: {"$filter": "{{ cursor }}"}}
    fields:
      id: {from: a:content/m:properties/d:id, required: true}
      pay: {from: a:content/m:properties/d:pay, type: "decimal(12,4)", check: {min: 0}}
      created: {from: a:content/m:properties/d:created, type: datetime}
      changed: {from: a:content/m:properties/d:changed, type: datetime}
"""
TABLES = """\
crmmap: 1
name: tables
settings: {database: {secret: true, env: TABLES}}
source: {kind: sql, url: "{{ settings.database }}"}
streams:
  crews:
    query: {table: crews}
    table: {name: tables_crews, key: id}
    dedupe: {keep: {latest: changed}}
    incremental: {kind: timestamp, field: changed}
    fields:
      id: {from: id, required: true}
      size: {from: size, type: integer, check: {min: 1}}
      created: {from: created, type: datetime}
      changed: {from: changed, type: datetime}
"""


def mapping(text: str) -> Mapping:
    return read_mapping(text.encode(), "mapping.yaml")


LONG = "CRMMAP_LAW_EXAMPLES" in os.environ


def planted(text: str, stream: str, fault: dict[str, Any]) -> str:
    """Return a copy of a mapping with words of a stream set to other values."""
    value: Any = read_document(text.encode()).value
    # A case file knows the declared fields, not those that a source lists.
    value["streams"][stream].pop("fields_from", None)
    # Nor do streams that delete a table's rows suit every fault of the one that fills it.
    value["streams"].pop(f"archived_{stream}", None)
    for path, word in fault.items():
        *way, last = path.split(".")
        at = value["streams"][stream]
        for step in way:
            at = at[step]
        at[last] = word
    return "\n".join(block(value)) + "\n"


def findings(text: str, *streams: str, examples: int) -> Iterator[Finding]:
    """Yield what is found, as it is found: laws that nobody waits for are not tried."""
    asked = Asked(streams=streams, examples=examples, seconds=None)
    proofs = prove(mapping(text), asked, lambda _: None)
    return (each.finding for each in proofs if each.finding is not None)


def pasted(text: str, finding: Finding) -> Case:
    (case,) = cases_of(f"cases:\n{finding.case}\n".encode(), "cases.yaml", mapping(text))
    return case


def fails(text: str, case: Case) -> bool:
    return failure(mapping(text), Path("cases.yaml"), case) is not None


FLAG = {"fields.flag": {"from": "archived", "type": "boolean"}, "table.key": "flag"}
LOWER = {"fields.id.clean": ["lower"]}
OFFSET = {"pagination": {"kind": "offset", "param": "skip", "size": 200}}
SINGLE = {"pagination": {"kind": "none"}}
COUNTED = {
    "pagination": {"kind": "page", "param": "page", "first": 0, "pages": "pages"},
    "request.params.page": "1",
}
KEYSET = {"pagination": {"kind": "keyset", "from": "firstName", "param": "after"}}
CREATED = {
    "incremental": {
        "kind": "timestamp", "field": "created_at", "params": {"since": "{{ cursor }}"}
    }
}  # fmt: skip
COUNT = {"fields.numberofemployees.check": {"min": 10, "max": 5}}
LATITUDE = {"fields.latitude.check": {"min": 90, "max": -90}}


@pytest.mark.parametrize(
    ("right", "stream", "fault", "said"),
    [
        # a key that is not unique across pages
        (HUBSPOT, "contact_history", FLAG, "fewer values"),
        (ARRIVY, "tasks", {"table.key": "unscheduled"}, "fewer values"),
        (HUBSPOT, "deals", {"table.key": "deal_name"}, "is refused"),
        # a lower-casing that makes keys collide
        (SALESPRO, "offices", LOWER, "letters' case"),
        (HUBSPOT, "owners", LOWER, "letters' case"),
        # a pagination that skips pages
        (HUBSPOT, "owners", OFFSET, "passed over"),
        (HUBSPOT, "owners", SINGLE, "passed over"),
        (HUBSPOT, "owners", COUNTED, "passed over"),
        (HUBSPOT, "owners", KEYSET, "passed over"),
        # a cursor that passes unread records
        (HUBSPOT, "owners", CREATED, "the cursor passes"),
        # a check that its own type cannot meet
        (HUBSPOT, "companies", COUNT, "no value of 'numberofemployees'"),
        (ARRIVY, "tasks", LATITUDE, "no value of 'latitude'"),
    ],
)
def test_a_planted_fault_is_found_and_shown(
    right: str, stream: str, fault: dict[str, Any], said: str
) -> None:
    wrong = planted(right, stream, fault)
    finding = next(each for each in findings(wrong, stream, examples=1) if said in each.what)
    assert finding.where == stream
    assert fails(wrong, pasted(wrong, finding)), finding.case


@pytest.mark.parametrize(
    ("stream", "fault"),
    [
        ("ships", LOWER),
        ("ships", {"pagination.size": 200}),
        ("ships", {"incremental.field": "entered"}),
        ("ships", {"fields.imo.check": {"min": 9999, "max": 1000}}),
        ("ships", {"fields.flag.check": {"one_of": ["de"]}}),
        ("calls", {"pagination.from": "pier"}),
        ("calls", {"table.key": "pier"}),
    ],
)
def test_its_case_holds_once_the_fault_is_mended(stream: str, fault: dict[str, Any]) -> None:
    wrong = planted(PORT, stream, fault)
    case = pasted(wrong, next(findings(wrong, stream, examples=1)))
    assert fails(wrong, case)
    assert not fails(PORT, case), case


def test_pages_of_several_requests_keep_the_laws() -> None:
    parts = PORT.replace(
        '    request: {path: /ships, params: {limit: "100"}}',
        '    request: {path: /ships, params: {limit: "100", fields: "a,b,c"}, '
        "split: {param: fields, most: 1, by: id}}\n"
        "    enrich: {owner: {request: {path: '/owners/{{ record.id }}'}, on: {id: ship}}}",
    ).replace("      code: {from: code,", "      owner: owner.name\n      code: {from: code,")
    assert parts.count("owner") > 3
    assert [*findings(parts, examples=15 if LONG else 3)] == []


@pytest.mark.parametrize("right", [PORT, SHIPYARD, FEED, TABLES])
def test_a_right_mapping_keeps_the_laws(right: str) -> None:
    assert [*findings(right, examples=8 if LONG else 3)] == []


@pytest.mark.parametrize(
    ("right", "stream", "fault"),
    [
        (FEED, "leads", LOWER),
        (FEED, "leads", SINGLE | {"request.params": {"pagesize": "40"}}),
        (FEED, "leads", {"incremental.field": "created"}),
        (FEED, "leads", {"fields.pay.check": {"min": 2, "max": 1}}),
        (TABLES, "crews", LOWER),
        (TABLES, "crews", {"incremental.field": "created"}),
        (TABLES, "crews", {"fields.size.check": {"min": 2, "max": 1}}),
    ],
)
def test_faults_are_found_in_xml_and_databases_too(
    right: str, stream: str, fault: dict[str, Any]
) -> None:
    wrong = planted(right, stream, fault)
    case = pasted(wrong, next(findings(wrong, stream, examples=1)))
    assert fails(wrong, case)


@pytest.mark.parametrize("name", ["hubspot", "salespro", "arrivy"])
def test_the_shipped_mappings_keep_the_laws(name: str) -> None:
    """One stream in three, and all where CRMMAP_LAW_EXAMPLES asks for longer runs."""
    text = (MAPPINGS / f"{name}.yaml").read_text()
    streams = [*mapping(text).streams][:: 1 if LONG else 3]
    assert [*findings(text, *streams, examples=4 if LONG else 1)] == []


@pytest.mark.parametrize(
    "right",
    [
        "{from: code, check: {pattern: '(?:ab|cd)+x'}}",
        "{from: code, check: {min_length: 400}}",
        "{from: at, type: datetime, check: {after: '2190-01-01'}}",
        "{from: at, type: {kind: date, formats: ['%d.%m.%Y']}, check: {before: '1850-01-01'}}",
        "{from: n, type: 'decimal(12,4)', check: {min: 123.4567, max: 123.4567}}",
        "{from: n, type: boolean, check: {one_of: ['true']}}",
    ],
)
def test_a_check_that_is_hard_to_meet_is_not_taken_for_an_impossible_one(right: str) -> None:
    text = PORT.replace("      code:", f"      odd: {right}\n      code:")
    assert [each.what for each in findings(text, "ships", examples=1)] == []


def test_the_command_prints_the_case_and_fails(tmp_path: Path) -> None:
    (tmp_path / "port.yaml").write_text(planted(PORT, "ships", {"pagination.size": 200}))
    ran = crmmap(tmp_path, "test", "port.yaml", "--only", "laws", "--stream", "ships")
    assert ran.code == 1, ran.err
    assert "ships: records are passed over" in ran.out
    assert '  - name: "all 2 records come, 1 to a page"' in ran.out

    again = crmmap(tmp_path, "test", "port.yaml", "--only", "laws", "--json", "-s", "ships")
    (finding,) = again.json["findings"]
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "port.yaml").write_text(f"cases:\n{finding['case']}\n")
    assert crmmap(tmp_path, "test", "port.yaml", "--only", "cases").code == 1

    (tmp_path / "port.yaml").write_text(PORT)
    assert crmmap(tmp_path, "test", "port.yaml", "--examples", "3").code == 0


def test_what_can_not_be_tried_is_told_and_fails_nothing() -> None:
    asked = Asked(streams=("calls",), examples=2, seconds=0.001)
    proofs = list(prove(mapping(PORT), asked, lambda _: None))
    assert [each for each in proofs if each.finding] == []
    assert "there was no time" in {each.unproven for each in proofs}


# --- trying itself -------------------------------------------------------------------------------


def test_the_smallest_example_that_breaks_a_law_is_told() -> None:
    def check(number: int) -> None:
        if number >= 17:
            raise Broken(Finding(where="here", what="too much", case=str(number)))

    found = tried(st.integers(0, 10_000), check, Bounds(examples=200)).finding
    assert found is not None
    assert found.case == "17"


def test_what_fails_unexpectedly_is_a_finding_that_quotes_nothing() -> None:
    def check(_: int) -> None:
        message = "the record said: secret"
        raise KeyError(message)

    found = tried(st.integers(), check, Bounds(examples=5)).finding
    assert found is not None
    assert "KeyError" in found.what
    assert "secret" not in repr(found)


def test_no_example_is_begun_when_the_time_is_over() -> None:
    result = tried(st.integers(), lambda _: None, Bounds(examples=5, until=0.0))
    assert (result.examples, result.finding) == (0, None)


def test_the_same_examples_are_tried_every_time_and_others_for_a_seed() -> None:
    def seen(seed: int | None) -> list[int]:
        found: list[int] = []
        tried(st.integers(), found.append, Bounds(examples=20, seed=seed))
        return found

    assert seen(None) == seen(None)
    assert seen(1) == seen(1)
    assert seen(1) != seen(2)


TWO_WAYS = """
crmmap: 1
name: ways
settings: {database: {env: WAYS_DATABASE, secret: true}}
sources:
  database: {kind: sql, url: "{{ settings.database }}"}
  export: {kind: files}
streams:
  towns:
    source: database
    query: {table: towns}
    table: {name: towns, key: id}
    fields: {id: id, size: {from: size, type: integer}}
  towns_export:
    source: export
    instead_of: towns
    file: towns.csv
    table: {name: towns, key: id}
    fields: {id: Id, size: {from: Size, type: integer, check: {min: 9, max: 2}}}
"""


def test_every_way_in_is_tried() -> None:
    asked = Asked(examples=5, seconds=None)
    proofs = tuple(prove(read_mapping(TWO_WAYS.encode(), "ways.yaml"), asked, lambda _: None))
    assert {proof.stream for proof in proofs} == {"towns", "towns_export"}
    assert {proof.stream for proof in proofs if proof.finding} == {"towns_export"}
