"""MarketSharp's mapping against a service that is less kind than the mock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from commands import ROOT
from crmmap.events import RunReport
from crmmap.plan import Plan, compile_plan
from crmmap.spec.read import read_mapping
from fault_server import FaultServer, Seen, answer
from invented import load, sqlite, table

TEXT = (
    (ROOT / "mappings" / "marketsharp.yaml")
    .read_text(encoding="utf-8")
    .replace("base: 5, longest: 60", "base: 0.001, longest: 1")
)
FEED = (
    '<?xml version="1.0" encoding="utf-8" standalone="yes"?>\n'
    '<feed xml:base="https://api4.marketsharpm.com/WcfDataService.svc/"'
    ' xmlns:d="http://schemas.microsoft.com/ado/2007/08/dataservices"'
    ' xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"'
    ' xmlns="http://www.w3.org/2005/Atom"><title type="text">Contacts</title>'
    '<link rel="self" title="Contacts" href="Contacts"/>'
)
ERROR = (
    b'<m:error xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata">'
    b'<m:code/><m:message xml:lang="en-US">An error occurred</m:message></m:error>'
)
BUSY = answer(b"<html><body>Service Unavailable</body></html>", 503, content_type="text/html")
ASKED_AT = 1_750_000_000
SIGNED = f"1234:demoUser:{ASKED_AT}:zGDPPKDKuO5+i+MxGf0L1IW1oohq6u3FbXPMg8nqiDw="
SETTINGS = {
    "company_id": "1234",
    "api_key": "demoUser",
    "secret_key": "bm90LWEtcmVhbC1zZWNyZXQta2V5LTAxMjM0NTY3ODk=",
}


def entry(number: int, at: str = "2025-06-02T09:20:11.5-04:00") -> str:
    child = f"<d:contactId>c{number}</d:contactId><d:homePhone>(410) 555-0142</d:homePhone>"
    own = f'<d:id>c{number}</d:id><d:lastUpdate m:type="Edm.DateTime">{at}</d:lastUpdate>'
    return (
        f'<entry><link rel="related" title="ContactPhone"><m:inline><entry><content>'
        f"<m:properties>{child}</m:properties></content></entry></m:inline></link>"
        f'<content type="application/xml"><m:properties>{own}</m:properties></content></entry>'
    )


def feed(entries: Sequence[str]) -> bytes:
    return f"{FEED}{''.join(entries)}</feed>".encode()


@dataclass
class Service:
    """Has contacts alone, and gives no more than two of them at once, whatever is asked for.

    `troubles` are what it sends for one page of contacts before it sends the page.
    """

    entries: list[str]
    troubles: dict[int, list[bytes]] = field(default_factory=dict)
    filters: list[str] = field(default_factory=list)

    def __call__(self, seen: Seen) -> bytes:
        where = urlsplit(seen.target)
        query = parse_qs(where.query)
        if where.path != "/Contacts":
            return answer(feed([]), content_type="application/atom+xml")
        skip = int(query.get("$skip", ["0"])[0])
        if "$filter" in query:
            self.filters.append(unquote(where.query))
        if self.troubles.get(skip):
            return self.troubles[skip].pop(0)
        return answer(feed(self.entries[skip : skip + 2]), content_type="application/atom+xml")


@contextmanager
def serving(service: Service) -> Iterator[tuple[FaultServer, Plan]]:
    with FaultServer(service) as server:
        given = {**SETTINGS, "base_url": server.url, "zone": "UTC", "region": "US"}
        yield server, compile_plan(read_mapping(TEXT.encode(), "marketsharp.yaml"), given)


def run(plan: Plan, folder: Path, *streams: str) -> RunReport:
    now = datetime.fromtimestamp(ASKED_AT, UTC)
    return load(plan, sqlite(folder), clock=lambda: now, streams=streams)


def contacts(folder: Path) -> list[object]:
    return [row[0] for row in table(sqlite(folder), "marketsharp_contacts")]


def test_every_request_bears_the_signature_and_nothing_after_the_last_page_is_an_error(
    tmp_path: Path,
) -> None:
    with serving(Service([entry(number) for number in range(5)])) as (server, plan):
        report = run(plan, tmp_path)
    assert [each.message for each in report.streams if each.status != "done"] == []
    assert {each.headers["authorization"] for each in server.requests} == {SIGNED}
    paths = Counter(urlsplit(each.target).path for each in server.requests)
    # Two, two and one, and an empty one: a page may be short without being the last.
    assert paths.pop("/Contacts") == 4
    assert set(paths.values()) == {1}
    assert contacts(tmp_path) == ["c0", "c1", "c2", "c3", "c4"]


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(feed([entry(2), entry(3)])[:-300], id="cut in an entry"),
        pytest.param(feed([entry(2)]).replace(b"</feed>", ERROR), id="an error in the stream"),
        pytest.param(feed([])[:-7], id="cut before the first entry"),
    ],
)
def test_a_page_that_is_cut_is_asked_for_again_and_never_a_short_one(
    tmp_path: Path, trouble: bytes
) -> None:
    troubles = {0: [BUSY, BUSY], 2: [answer(trouble), BUSY]}
    with serving(Service([entry(number) for number in range(5)], troubles)) as (server, plan):
        (stream,) = run(plan, tmp_path, "contacts").streams
    assert (stream.status, stream.counts.fetched, stream.retries) == ("done", 5, 4)
    assert len(server.requests) == 8
    assert contacts(tmp_path) == ["c0", "c1", "c2", "c3", "c4"]


def test_a_page_that_stays_cut_fails_its_stream_and_the_next_run_goes_on(tmp_path: Path) -> None:
    troubles = {2: [answer(feed([entry(2), entry(3)])[:-100])] * 6}
    with serving(Service([entry(number) for number in range(5)], troubles)) as (_, plan):
        (failed,) = run(plan, tmp_path, "contacts").streams
        assert failed.status == "failed"
        assert "a document that is cut short" in failed.message
        (done,) = run(plan, tmp_path, "contacts").streams
    assert (done.status, done.counts.rejected) == ("done", 0)
    assert contacts(tmp_path) == ["c0", "c1", "c2", "c3", "c4"]


def test_what_has_changed_is_asked_for_from_a_day_before_the_last_change(tmp_path: Path) -> None:
    service = Service([entry(1), entry(2, "2025-06-02T23:30:00-04:00")])
    with serving(service) as (server, plan):
        run(plan, tmp_path, "contacts")
        assert service.filters == []
        asked = len(server.requests)
        (again,) = run(plan, tmp_path, "contacts").streams
    targets = [each.target for each in server.requests[asked:]]
    assert all("%24filter=lastUpdate%20gt%20datetime" in each for each in targets)
    assert all("datetime'2025-06-02T03:30:00" in each for each in service.filters)
    assert (again.counts.unchanged, again.counts.fetched) == (2, 2)


def test_a_signature_that_is_refused_is_not_tried_again(tmp_path: Path) -> None:
    refused = answer(b"<error><code/><message>Unauthorized</message></error>", 401)
    with serving(Service([], {0: [refused]})) as (server, plan):
        (stream,) = run(plan, tmp_path, "contacts").streams
    assert (stream.status, len(server.requests)) == ("failed", 1)
    assert "zGDPPKDKuO5" not in stream.message
