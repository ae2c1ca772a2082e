"""Atom XML over HTTP: `python -m bench.scripts.people BASE_URL STORE_URL`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import BytesIO

import requests
from lxml import etree

from bench.people import NAMES
from bench.scripts.into import upsert

DATA = "http://schemas.microsoft.com/ado/2007/08/dataservices"
PROPERTIES = f"{{{DATA}/metadata}}properties"
TAGS = tuple(f"{{{DATA}}}{name}" for name in NAMES)


def batches(base_url: str) -> Iterator[list[tuple[str | None, ...]]]:
    session, read = requests.Session(), 0
    while True:
        params = {"$top": "5000", "$orderby": "id", "$skip": str(read)}
        answer = session.get(f"{base_url}/People", params=params, timeout=60)
        answer.raise_for_status()
        rows = []
        for _, properties in etree.iterparse(BytesIO(answer.content), tag=PROPERTIES):
            cells = {child.tag: child.text for child in properties}
            rows.append(tuple(map(cells.get, TAGS)))
            properties.clear()
        if not rows:
            break
        yield rows
        read += len(rows)


if __name__ == "__main__":
    upsert(sys.argv[2], "oldgate_people", NAMES, batches(sys.argv[1]))
