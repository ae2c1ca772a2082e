"""The least that loading the benchmark's tasks can cost in Python: csv.reader and executemany.

`python -m bench.limit_csv FILE STORE_URL`. Every column is text.
"""

from __future__ import annotations

import csv
import re
import sys
from itertools import islice

from bench.upsert import connected, upsert_into

BATCH = 10_000


def main() -> None:
    path, store_url = sys.argv[1:]
    with open(path, encoding="utf-8", newline="") as file, connected(store_url) as connection:
        reader = csv.reader(file)
        columns = [re.sub(r"\W+", "_", header.lower()).strip("_") for header in next(reader)]
        write = upsert_into(connection, "waypost_tasks", columns)
        while rows := list(islice(reader, BATCH)):
            write(rows)


if __name__ == "__main__":
    main()
