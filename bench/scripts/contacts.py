"""JSON over HTTP: `python -m bench.scripts.contacts BASE_URL STORE_URL`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import requests
from orjson import loads

from bench.scripts.into import upsert

NAMES = (
    "email", "firstname", "lastname", "phone", "mobilephone", "company", "jobtitle", "website",
    "address", "city", "state", "zip", "country", "owner_id", "lifecyclestage", "status", "revenue",
    "employees", "score", "opted_out", "birthdate", "last_contacted",
)  # fmt: skip
COLUMNS = ("id", *NAMES, "created_at", "updated_at")
BATCH = 5000

properties = itemgetter(*NAMES)


def row(record: dict[str, Any]) -> tuple[object, ...]:
    return (
        record["id"], *properties(record["properties"]), record["createdAt"], record["updatedAt"],
    )  # fmt: skip


def batches(base_url: str) -> Iterator[list[tuple[object, ...]]]:
    session, params = requests.Session(), {"limit": "100"}
    rows: list[tuple[object, ...]] = []
    while True:
        answer = session.get(f"{base_url}/contacts", params=params, timeout=60)
        answer.raise_for_status()
        page = loads(answer.content)
        rows += map(row, page["results"])
        if len(rows) >= BATCH:
            yield rows
            rows = []
        if "paging" not in page:
            break
        params["after"] = page["paging"]["next"]["after"]
    yield rows


if __name__ == "__main__":
    upsert(sys.argv[2], "meridian_contacts", COLUMNS, batches(sys.argv[1]))
