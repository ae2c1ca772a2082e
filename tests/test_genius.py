"""The shipped mapping of Genius, run whole: from a MariaDB database, and from its API over HTTP."""

# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from commands import ROOT, Ran, crmmap
from databases import Origin, mariadb  # noqa: F401  (a fixture)
from fault_server import FaultServer, Seen, answer
from stores import store_url  # noqa: F401  (a fixture)

GENIUS = str(ROOT / "mappings" / "genius.yaml")
TABLES = Path(__file__).parent / "genius.sql"


def run(folder: Path, store: str, *words: str, **env: str) -> Ran:
    command = ("run", GENIUS, "--store", store, "--json", "--quiet", *words)
    return crmmap(folder, *command, env=env)


def counted(ran: Ran, *names: str) -> dict[str, tuple[int, ...]]:
    """Return how the streams that read something ended, by the outcomes named."""
    return {
        each["stream"]: tuple(each["counts"][name] for name in names)
        for each in ran.json["streams"]
        if each["counts"]["fetched"]
    }


def rows(store: str, table: str, *columns: str) -> list[tuple[Any, ...]]:
    """Return a table's rows, written alike whichever store it is."""
    engine = sa.create_engine(store.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        text = f"SELECT {', '.join(columns)} FROM genius_{table} ORDER BY 1, 2"
        found = [tuple(map(plain, row)) for row in connection.execute(sa.text(text))]
    engine.dispose()
    return found


def kept(folder: Path) -> str:
    """Return all that a store in the folder holds, if it is a file."""
    return "".join(each.read_bytes().decode("latin-1") for each in folder.glob("store.db*"))


def plain(value: object) -> object:
    if isinstance(value, datetime):
        utc = value if value.tzinfo else value.replace(tzinfo=UTC)
        return utc.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):  # which is how PyMySQL gives a time of day
        value = (datetime.min + value).time()
    if isinstance(value, time):
        return value.isoformat("microseconds")
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, str) and value.startswith("PT"):
        return value.removeprefix("PT").removesuffix("S")
    return int(value) if isinstance(value, bool) else value


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


# --- the database ---------------------------------------------------------------------------------


@pytest.fixture
def genius(mariadb: Origin) -> Origin:
    text = "\n".join(
        line for line in TABLES.read_text("utf-8").splitlines() if not line.startswith("--")
    )
    mariadb(*(each for each in text.split(";\n") if each.strip()))
    return mariadb


MOMENT = "2025-06-02T13:20:11.000000Z"


@pytest.mark.mariadb
def test_the_database_is_loaded_whole(genius: Origin, tmp_path: Path, store_url: str) -> None:
    ran = run(tmp_path, store_url, GENIUS_DATABASE_URL=genius.url)
    assert ran.code == 0, ran.out + ran.err
    assert {each["status"] for each in ran.json["streams"]} == {"done", "skipped"}
    assert counted(ran, "fetched", "rejected", "deferred")["users"] == (3, 0, 0)
    assert rows(store_url, "users", "user_id", "division_id", "email", "birth_date", "title_id",
                "manager_user_id", "hired_on", "is_inactive", "primary_user_id") == [
        (1, None, None, None, None, None, None, None, None),  # added a source, and was deleted
        (4001, None, None, None, None, None, None, 1, None),
        (4002, 12, None, None, None, 4002, None, 0, 4001),
        (4101, 12, "dana.okafor@example.com", "1989-04-17", 7, 4002,
         "2021-03-01T00:00:00.000000Z", 0, 4101),
    ]  # fmt: skip
    assert rows(store_url, "user_associations", "user_id", "primary_user_id") == [
        (4002, 4001), (4002, 4101), (4101, 4101),
    ]  # fmt: skip
    assert rows(store_url, "prospects", "id", "division_id", "user_id", "address2", "state", "zip",
                "phone1", "email", "notes", "add_date", "hubspot_contact_id",
                "is_address_valid") == [
        (880123, 12, 4101, None, "MD", "01234", "+14105550142", "mvance@example.com",
         "Gate code 4\nDog", MOMENT, "901", 1),
        (880124, None, None, None, None, None, "none", None, None, None, None, None),
        (880999, *[None] * 11),
    ]  # fmt: skip
    assert rows(store_url, "leads", "lead_id", "division_id", "phone1", "added_by", "lead_cost",
                "with_dm", "marketing_source_id", "prospect_id", "added_by_latitude",
                "updated_at", "changed_at") == [
        (990071, 12, "+14105550142", None, 20.0, None, 61, 880123, "39.4015000", MOMENT, MOMENT),
        (990072, None, None, 4101, 20.0, 1, None, None, None, None, "2025-06-01T09:20:00.000000Z"),
    ]  # fmt: skip
    assert rows(store_url, "appointments", "id", "prospect_id", "prospect_source_id", "user_id",
                "date", "time", "duration", "assign_date", "complete_outcome_id",
                "hubspot_appointment_id", "marketing_task_id") == [
        (550017, 880123, 70011, 4101, "2025-06-05", "14:30:00.000000", "7200.000000", None, None,
         "901", None),
        (550018, 880999, None, None, None, None, "130500.000000", None, None, None, None),
    ]  # fmt: skip
    assert rows(store_url, "appointment_services", "appointment_id", "service_id") == [
        (550017, 4), (550017, 5),
    ]  # fmt: skip
    assert rows(store_url, "quotes", "id", "job_id", "label", "amount", "expire_date") == [
        (31007, 22010, "Roof – good/better/best", "18450.00", "2025-07-05"),
    ]  # fmt: skip
    assert rows(store_url, "jobs", "id", "status_id", "contract_amount", "contract_hours",
                "sales_tax_rate", "measure_time", "price_level_commission", "install_time") == [
        (22010, 10, "18450.00", 42.5, "0.06000", "09:00:00.000000", "8.5", None),
    ]  # fmt: skip
    assert rows(store_url, "job_change_orders", "id", "adjustment_change_order_id",
                "total_amount") == [
        (9001, None, "-250.50"), (9002, 9001, "250.50"),
    ]  # fmt: skip
    # Neither a password nor the columns of payroll and payment come along.
    assert "canary" not in ran.out + ran.err + kept(tmp_path)


@pytest.mark.mariadb
def test_a_second_run_reads_what_changed_alone(
    genius: Origin, tmp_path: Path, store_url: str
) -> None:
    assert run(tmp_path, store_url, GENIUS_DATABASE_URL=genius.url).code == 0
    genius(
        "UPDATE prospect SET city = 'Baltimore', updated_at = '2025-06-20 10:00:00' "
        "WHERE id = 880124",
        # Nothing tells when it changed but when it was added.
        "INSERT INTO `lead` (lead_id, added_on) VALUES (990073, '2025-06-21 10:00:00')",
        "UPDATE job_status SET label = 'Sold!'",
    )
    ran = run(tmp_path, store_url, GENIUS_DATABASE_URL=genius.url)
    found = counted(ran, "fetched", "inserted", "updated", "unchanged")
    # Of prospects, both had the greatest time that was seen; of leads, one had.
    assert found["prospects"] == (2, 0, 1, 1)
    assert found["leads"] == (2, 1, 0, 1)
    assert found["users"] == (1, 0, 0, 1)
    assert found["job_statuses"] == (1, 0, 1, 0)
    assert rows(store_url, "prospects", "id", "city")[1] == (880124, "Baltimore")
    third = counted(
        run(tmp_path, store_url, GENIUS_DATABASE_URL=genius.url), "fetched", "unchanged"
    )
    assert third["prospects"] == (1, 1)
    assert third["leads"] == (1, 1)


@pytest.mark.mariadb
def test_rows_of_one_update_are_read_once_across_the_edges_of_pages(
    genius: Origin, tmp_path: Path, store_url: str
) -> None:
    genius(
        "INSERT INTO quote (id, prospect_id, appointment_id, service_id, amount, updated_at) "
        "SELECT 40000 + seq, 880123, 550017, 4, seq, '2025-06-01 08:00:00' FROM seq_1_to_1300"
    )
    assert run(tmp_path, store_url, GENIUS_DATABASE_URL=genius.url).code == 0
    genius(
        "UPDATE quote SET amount = amount + 0.5, updated_at = '2025-06-10 08:00:00' "
        "WHERE id BETWEEN 40101 AND 41300"
    )
    ran = run(tmp_path, store_url, GENIUS_DATABASE_URL=genius.url)
    assert [each["pages"] for each in ran.json["streams"] if each["stream"] == "quotes"] == [2]
    # And the quote that had the greatest time that was seen.
    assert counted(ran, "fetched", "inserted", "updated", "unchanged", "duplicate")["quotes"] == (
        1201, 0, 1200, 1, 0,
    )  # fmt: skip
    amounts = {row[0]: row[1] for row in rows(store_url, "quotes", "id", "amount")}
    assert len(amounts) == 1301
    assert (amounts[40100], amounts[40101], amounts[41300]) == ("100.00", "101.50", "1300.50")


@pytest.mark.mariadb
def test_an_export_leaves_what_it_does_not_have_as_the_database_had_it(
    genius: Origin, tmp_path: Path, store: str
) -> None:
    assert run(tmp_path, store, GENIUS_DATABASE_URL=genius.url).code == 0
    headers = [
        "user_id", "division_id", "first_name", "first_name_alt", "last_name", "email",
        "personal_email", "birth_date", "gender_id", "marital_status_id", "time_zone_name",
        "title_id", "manager_user_id", "hired_on", "start_date", "add_user_id", "add_datetime",
    ]  # fmt: skip
    lines = [
        headers,
        ["4101", "12", '"Dana\r\nMae"', "", "Okafor", "D@Example.com", "", "04/17/1989", "", "", "",
         "7", "4101", "03/01/2021 00:00:00", "", "0", "0000-00-00"],
        ["4104", "99", '"Ro ""Bob"" Bin"', *[""] * 9, "-1", *[""] * 4],
    ]  # fmt: skip
    text = "\ufeff" + "".join(",".join(line) + "\r\n" for line in lines)
    (tmp_path / "users.csv").write_bytes(text.encode())
    env = {"GENIUS_DATABASE_URL": genius.url, "GENIUS_USERS_CSV": "users.csv"}
    ran = run(tmp_path, store, **env)
    assert ran.code == 0, ran.out + ran.err
    messages = {each["stream"]: each["message"] for each in ran.json["streams"]}
    assert messages["users"] == "users_export is read instead"
    assert rows(store, "users", "user_id", "division_id", "first_name", "email", "birth_date",
                "manager_user_id", "hired_on", "is_inactive", "primary_user_id")[-2:] == [
        (4101, 12, "Dana\r\nMae", "d@example.com", "1989-04-17", 4101,
         "2021-03-01T00:00:00.000000Z", 0, 4101),
        (4104, 99, 'Ro "Bob" Bin', None, None, None, None, None, None),
    ]  # fmt: skip
    assert rows(store, "divisions", "id", "label")[-1] == (99, None)


# --- the API --------------------------------------------------------------------------------------

KEPT = {
    "/api/users/users/": [
        {"id": 4101, "division": 12, "email": "Dana@Example.com", "manager": 4002},
        {"id": 4002, "division": 0, "manager": 4002},
        {"id": 4003, "division": 12, "gender": {"id": 2}, "manager": -1},
    ],
    "/api/divisions/division/": [{"id": 12, "label": "Baltimore", "group": {"id": 3}}],
    "/api/marketing_sources/": [{"id": 61, "name": "Radio", "is_active": True}],
}  # fmt: skip


class Api:
    """Genius's API: tokens for a password, and lists whose pages name the next by its address."""

    def __init__(self, *, elsewhere: str = "", ends_after: int = 10_000) -> None:
        self.elsewhere = elsewhere
        self.ends_after = ends_after
        self.tokens = 0
        self.served = 0

    def __call__(self, seen: Seen) -> bytes:
        path, _, query = seen.target.partition("?")
        host = seen.headers["host"]
        if path == "/api/token/":
            assert json.loads(seen.body) == {"username": "reader", "password": "canary-password"}
            self.tokens += 1
            self.served = 0
            return said({"refresh": "canary-r", "access": f"canary-{self.tokens}"})
        self.served += 1
        valid = seen.headers.get("authorization") == f"Bearer canary-{self.tokens}"
        if not valid or (self.tokens == 1 and self.served > self.ends_after):
            detail = {
                "detail": "Given token not valid for any token type",
                "code": "token_not_valid",
            }
            return said(detail, 401)
        parts = dict(each.split("=") for each in query.split("&"))
        at, kept = int(parts.get("offset", 0)), KEPT.get(path, [])
        # Two to a page, whatever the limit.
        following = f"{self.elsewhere or f'http://{host}'}{path}?limit=100&offset={at + 2}"
        since = f"&updated_since={parts['updated_since']}" if "updated_since" in parts else ""
        more = following + since if at + 2 < len(kept) else None
        page = {"count": len(kept), "next": more, "previous": None, "results": kept[at : at + 2]}
        return said(page)


def said(document: object, status: int = 200) -> bytes:
    return answer(json.dumps(document).encode(), status, content_type="application/json")


def asked(server: FaultServer, path: str) -> list[str]:
    return [each.target for each in server.requests if each.target.startswith(path)]


def access(server: FaultServer) -> Mapping[str, str]:
    return {
        "GENIUS_API_URL": server.url, "GENIUS_USERNAME": "reader",
        "GENIUS_PASSWORD": "canary-password",
    }  # fmt: skip


def test_the_api_is_read_with_one_login_and_by_its_next_links(tmp_path: Path, store: str) -> None:
    api = Api()
    with FaultServer(api) as server:
        ran = run(tmp_path, store, **access(server))
        assert ran.code == 0, ran.out + ran.err
        assert asked(server, "/api/users/") == [
            "/api/users/users/?limit=100", "/api/users/users/?limit=100&offset=2",
        ]  # fmt: skip
    assert api.tokens == 1
    # Divisions of 0 and managers of -1 are none; division 12 is filled, its group put there.
    assert rows(store, "users", "user_id", "division_id", "email", "gender_id",
                "manager_user_id") == [
        (4002, None, None, None, 4002), (4003, 12, None, 2, None),
        (4101, 12, "dana@example.com", None, 4002),
    ]  # fmt: skip
    assert rows(store, "divisions", "id", "label", "group_id") == [(12, "Baltimore", 3)]
    assert rows(store, "division_groups", "id", "group_label") == [(3, None)]
    assert rows(store, "marketing_sources", "id", "label", "is_active") == [(61, "Radio", 1)]
    assert "canary" not in ran.out + ran.err + kept(tmp_path)


def test_a_second_run_asks_the_api_for_what_changed_since(tmp_path: Path, store: str) -> None:
    with FaultServer(Api()) as server:
        assert run(tmp_path, store, **access(server)).code == 0
        first = len(server.requests)
        ran = run(tmp_path, store, **access(server))
        later = [each.target for each in server.requests[first:] if "/users/users/" in each.target]
    assert [target.count("updated_since=") for target in later] == [1, 1]
    assert counted(ran, "fetched", "unchanged")["users_api"] == (3, 3)


def test_a_token_that_ends_during_a_run_is_renewed_once(tmp_path: Path, store: str) -> None:
    api = Api(ends_after=3)
    with FaultServer(api) as server:
        ran = run(tmp_path, store, **access(server))
    assert ran.code == 0, ran.out + ran.err
    assert api.tokens == 2
    assert counted(ran, "fetched", "inserted")["users_api"][0] == 3
    assert len(rows(store, "users", "user_id", "first_name")) == 3


@pytest.fixture
def stranger() -> Iterator[FaultServer]:
    with FaultServer(answer(b'{"results": [], "next": null}')) as server:
        yield server


def test_a_next_link_to_another_host_is_refused_and_no_token_goes_there(
    tmp_path: Path, store: str, stranger: FaultServer
) -> None:
    with FaultServer(Api(elsewhere=stranger.url)) as server:
        ran = run(tmp_path, store, **access(server))
    assert ran.code != 0
    streams = {each["stream"]: each for each in ran.json["streams"]}
    assert streams["users_api"]["status"] == "failed"
    assert stranger.requests == []
    # What else the API has, and does not hang on users, is loaded all the same.
    assert streams["services_api"]["status"] == "done"
    assert "canary" not in ran.out + ran.err
