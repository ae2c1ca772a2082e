"""A MariaDB table: `python -m bench.scripts.leads SOURCE_URL STORE_URL`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from bench.leads import COLUMNS
from bench.scripts.into import Rows, upsert
from bench.stores import mysql_connection

BATCH = 5000


def batches(url: str, table: str) -> Iterator[Rows]:
    from pymysql.cursors import SSCursor

    # Values stay the texts that the server sends: no Python date or decimal is made of them.
    opened = mysql_connection(url, conv={}, cursorclass=SSCursor)
    with opened as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        while rows := cursor.fetchmany(BATCH):
            yield rows


def main(source: str, store: str) -> None:
    upsert(store, "slatework_divisions", ("id", "label"), batches(source, "division"))
    upsert(store, "slatework_leads", tuple(COLUMNS), batches(source, "lead"))


if __name__ == "__main__":
    main(*sys.argv[1:])
