"""The least that loading the benchmark's contacts can cost in Python.

`python -m bench.limit_http BASE_URL STORE_URL`. Nothing is checked, rejected
or accounted for; every column is text, so that the database refuses nothing either.
"""

from __future__ import annotations

import sys
from typing import Any

import requests

from bench.upsert import connected, upsert_into

try:
    from orjson import loads
except ImportError:
    from json import loads

NAMES = (
    "email", "firstname", "lastname", "phone", "mobilephone", "company", "jobtitle", "website",
    "address", "city", "state", "zip", "country", "owner_id", "lifecyclestage", "status", "revenue",
    "employees", "score", "opted_out", "birthdate", "last_contacted",
)  # fmt: skip
COLUMNS = ("id", *NAMES, "created_at", "updated_at")
BATCH = 5000


def row(record: dict[str, Any]) -> tuple[str | None, ...]:
    properties = record["properties"]
    values = (record["id"], *(properties[name] for name in NAMES))
    texts = (value if value is None else str(value) for value in values)
    return (*texts, record["createdAt"], record["updatedAt"])


def main() -> None:
    base_url, store_url = sys.argv[1:]
    session, params = requests.Session(), {"limit": "100"}
    with connected(store_url) as connection:
        write = upsert_into(connection, "meridian_contacts", COLUMNS)
        rows: list[tuple[str | None, ...]] = []
        while True:
            answer = session.get(f"{base_url}/contacts", params=params, timeout=60)
            answer.raise_for_status()
            page = loads(answer.content)
            rows += map(row, page["results"])
            if len(rows) >= BATCH:
                write(rows)
                rows = []
            if "paging" not in page:
                break
            params["after"] = page["paging"]["next"]["after"]
        write(rows)


if __name__ == "__main__":
    main()
