"""HubSpot's mapping against an account that is less kind than the mock."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import sqlalchemy as sa

from commands import ROOT
from crmmap.events import RunReport
from crmmap.plan import Plan, compile_plan, resolve_settings
from crmmap.spec.read import read_mapping
from fault_server import FaultServer, Seen, answer
from invented import load, sqlite

CAP, SIZE = 6, 2
TEXT = (
    (ROOT / "mappings" / "hubspot.yaml")
    .read_text(encoding="utf-8")
    .replace("cap: {records: 10000,", f"cap: {{records: {CAP},")
)
TEXT = TEXT.replace("    retry:\n", "    retry:\n      base: 0.001\n", 1)
IMPORTED, CHANGED = "2025-06-02T13:25:00.000Z", "2025-06-03T08:00:00.000Z"
IDS = ("7198", "719869649082", "7199", *(str(number) for number in range(80_001, 80_013)))
"""As texts they have another order than as numbers; HubSpot has been seen to compare them so."""

NONE = "crm.associations.NO_ASSOCIATIONS_FOUND"
FORBIDDEN = {"status": "error", "message": "no scope", "category": "MISSING_SCOPES"}

Contacts = dict[str, dict[str, str]]
Sent = tuple[int, Any]


def contacts_of(ids: Sequence[str], at: str = IMPORTED) -> Contacts:
    return {each: {"hs_object_id": each, "tier": "old", "lastmodifieddate": at} for each in ids}


@dataclass
class Account:
    """An account with contacts alone; `more` answers before it does where it has an answer."""

    contacts: Contacts
    properties: Sequence[str] = ()
    more: Callable[[str, Seen], Sent | None] = lambda path, seen: None
    searches: list[Any] = field(default_factory=list)

    def __call__(self, seen: Seen) -> bytes:
        path = urlsplit(seen.target).path
        status, body = self.more(path, seen) or self._answer(path, seen)
        return answer(json.dumps(body).encode(), status, content_type="application/json")

    def _answer(self, path: str, seen: Seen) -> Sent:
        query = {name: values[-1] for name, values in parse_qs(urlsplit(seen.target).query).items()}
        if path == "/crm/v3/properties/contacts":
            listed = [{"name": each, "type": "string"} for each in self.properties]
            return 200, {"results": listed}
        if path == "/crm/v3/objects/contacts" and "archived" not in query:
            wanted = query["properties"].split(",")
            return self._page(sorted(self.contacts), int(query.get("after", "0")), wanted)
        if path == "/crm/v3/objects/contacts/search":
            return self._search(json.loads(seen.body))
        if path.startswith("/crm/v4/associations"):
            return 207, associated(json.loads(seen.body), {})
        if "0-421" in path:
            return 403, FORBIDDEN
        return 200, {"results": []}

    def _search(self, body: Any) -> Sent:
        self.searches.append(body)
        (group,) = body["filterGroups"]
        since, beyond = (each["value"] for each in group["filters"])
        assert since.isdecimal()
        ids = [
            each for each in sorted(self.contacts)
            if each > beyond and self.contacts[each]["lastmodifieddate"] >= CHANGED
        ]  # fmt: skip
        start = int(body.get("after", "0"))
        if start >= CAP:
            return 400, {"status": "error", "message": "paging beyond the first results"}
        return self._page(ids, start, body["properties"])

    def _page(self, ids: Sequence[str], start: int, wanted: Sequence[str]) -> Sent:
        page = ids[start : start + SIZE]
        results = [self._record(each, wanted) for each in page]
        more = {"next": {"after": str(start + SIZE)}} if start + SIZE < len(ids) else None
        return 200, {"total": len(ids), "results": results, **({"paging": more} if more else {})}

    def _record(self, each: str, wanted: Sequence[str]) -> Mapping[str, object]:
        known = self.contacts[each]
        properties = {name: known.get(name) for name in wanted}
        return {"id": each, "properties": properties, "updatedAt": known["lastmodifieddate"]}


def associated(asked: Any, companies: Mapping[str, Sequence[int]]) -> Any:
    """Return who belongs to whom, of those who are asked for, as a 207 says it."""
    ids = [each["id"] for each in asked["inputs"]]
    types = [{"category": "HUBSPOT_DEFINED", "typeId": 1, "label": "Primary"}]
    found = [
        {
            "from": {"id": each},
            "to": [{"toObjectId": to, "associationTypes": types} for to in companies[each]],
        }
        for each in ids if each in companies
    ]  # fmt: skip
    without = [each for each in ids if each not in companies]
    error = {"status": "error", "subCategory": NONE, "context": {"fromObjectId": without}}
    return {"status": "COMPLETE", "results": found, "numErrors": 1, "errors": [error]}


@contextmanager
def serving(account: Account) -> Iterator[tuple[FaultServer, Plan]]:
    with FaultServer(account) as server:
        mapping = read_mapping(TEXT.encode(), "hubspot.yaml")
        given = {"base_url": server.url, "token": "pat-na1-canary"}
        yield server, compile_plan(mapping, resolve_settings(mapping, {}, given))


def run(plan: Plan, folder: Path, *streams: str) -> RunReport:
    return load(plan, sqlite(folder), streams=streams)


def column(folder: Path, table: str, name: str) -> list[object]:
    engine = sa.create_engine(sqlite(folder))
    with engine.connect() as connection:
        found = connection.execute(sa.text(f'SELECT "{name}" FROM {table} ORDER BY 1'))
        values = [row[0] for row in found]
    engine.dispose()
    return values


def test_more_changes_than_a_search_gives_are_all_read_though_they_share_one_moment(
    tmp_path: Path,
) -> None:
    account = Account(contacts_of(IDS))
    with serving(account) as (server, plan):
        run(plan, tmp_path, "contacts")
        assert (account.searches, column(tmp_path, "hubspot_contacts", "id")) == ([], sorted(IDS))
        account.contacts = {
            each: {**known, "tier": "new", "lastmodifieddate": CHANGED}
            for each, known in account.contacts.items()
        }
        (stream,) = run(plan, tmp_path, "contacts").streams
        assert (stream.status, stream.counts.updated) == ("done", len(IDS)), stream.message
    assert set(column(tmp_path, "hubspot_contacts", "tier")) == {"new"}
    beyond = {body["filterGroups"][0]["filters"][1]["value"] for body in account.searches}
    assert beyond == {"0", *sorted(IDS)[CAP - 1 :: CAP]}
    assert {each.headers["authorization"] for each in server.requests} == {"Bearer pat-na1-canary"}


def test_what_an_account_does_not_have_is_skipped_and_counted(tmp_path: Path) -> None:
    with serving(Account(contacts_of(["1", "2", "3"]))) as (_, plan):
        report = run(plan, tmp_path)
    streams = {each.stream: each for each in report.streams}
    assert [each.message for each in report.streams if each.status == "failed"] == []
    assert streams["appointments"].counts.fetched == 0
    ((said, times),) = streams["appointments"].skips.items()
    assert "the account has no such object, or the app may not see it" in said
    assert times == 1
    assert streams["contacts"].counts.inserted == 3
    assert streams["contacts"].skips == {}


def test_contacts_that_may_not_be_seen_are_no_empty_list(tmp_path: Path) -> None:
    account = Account({}, more=lambda path, _: (403, FORBIDDEN) if "contacts" in path else None)
    with serving(account) as (_, plan):
        (stream,) = run(plan, tmp_path, "contacts").streams
    assert stream.status == "failed"
    assert "pat-na1-canary" not in stream.message


def test_that_some_have_no_association_is_no_failure_but_what_failed_is_rejected(
    tmp_path: Path,
) -> None:
    gone = {"status": "error", "category": "OBJECT_NOT_FOUND", "context": {"ids": ["3"]}}

    def more(path: str, seen: Seen) -> Sent | None:
        if path != "/crm/v4/associations/contacts/companies/batch/read":
            return None
        body = associated(json.loads(seen.body), {"1": [9001, 9002]})
        return 207, {**body, "errors": [*body["errors"], gone]}

    with serving(Account(contacts_of(["1", "2", "3"]), more=more)) as (_, plan):
        streams = {each.stream: each for each in run(plan, tmp_path).streams}
    counts = streams["contact_companies"].counts
    assert (counts.inserted, counts.rejected) == (2, 1)
    assert column(tmp_path, "hubspot_contact_companies", "company_id") == ["9001", "9002"]
    assert column(tmp_path, "hubspot_companies", "id") == ["9001", "9002"]  # as stubs


def test_associations_that_come_in_pieces_are_all_read(tmp_path: Path) -> None:
    inputs: list[Any] = []

    def more(path: str, seen: Seen) -> Sent | None:
        if path != "/crm/v4/associations/contacts/companies/batch/read":
            return None
        asked = json.loads(seen.body)
        inputs.append(asked["inputs"])
        start = int(asked["inputs"][0].get("after", "0"))
        body = associated(asked, {"1": [9001, 9002, 9003, 9004, 9005][start : start + 2]})
        if start < 4:
            body["results"][0]["paging"] = {"next": {"after": str(start + 2)}}
        return 207, body

    with serving(Account(contacts_of(["1", "2"]), more=more)) as (_, plan):
        streams = {each.stream: each for each in run(plan, tmp_path).streams}
    counts = streams["contact_companies"].counts
    assert (counts.inserted, counts.rejected) == (5, 0), streams["contact_companies"].message
    assert inputs[1:] == [[{"id": "1", "after": "2"}], [{"id": "1", "after": "4"}]]


def test_a_long_list_of_properties_is_asked_for_in_parts(tmp_path: Path) -> None:
    names = [f"a_property_with_a_rather_long_name_{number:03}" for number in range(290)]
    account = Account(
        {each: {**known, **dict.fromkeys(names, each)} for each, known in
         contacts_of(["1", "2", "3"]).items()},
        properties=names,
    )  # fmt: skip
    with serving(account) as (server, plan):
        (stream,) = run(plan, tmp_path, "contacts").streams
    assert (stream.status, stream.counts.inserted) == ("done", 3), stream.message
    lists = [each for each in server.requests if "properties=" in each.target]
    assert len(lists) == 6  # two pages, each in three parts
    assert max(len(each.target) for each in lists) < 7000
    for name in (names[0], names[-1]):
        assert column(tmp_path, "hubspot_contacts", f"custom_{name}") == ["1", "2", "3"]


def test_a_daily_limit_pauses_the_run_and_a_short_one_is_waited_for(tmp_path: Path) -> None:
    said = {"status": "error", "errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING"}
    refusals: list[Sent] = [(429, said)]

    def more(path: str, _: Seen) -> Sent | None:
        return refusals.pop() if refusals and path == "/crm/v3/objects/contacts" else None

    account = Account(contacts_of(["1", "2", "3"]), more=more)
    with serving(account) as (server, plan):
        (stream,) = run(plan, tmp_path, "contacts").streams
        assert (stream.status, stream.retries) == ("done", 1)
        asked = len(server.requests)
        refusals.append((429, {**said, "policyName": "DAILY"}))
        account.more = lambda path, _: (429, {**said, "policyName": "DAILY"})
        (stream,) = run(plan, tmp_path, "contacts").streams
    assert stream.status == "paused"
    assert len(server.requests) == asked + 1
