"""dlt loads the benchmark's contacts into a store, in a virtual environment of its own.

`python -m bench.dlt_contacts defaults|tuned BASE_URL STORE_URL SCHEMA FOLDER`. It writes the same
25 columns, of the same types, by the same key; all rows each time, for it compares none.
"""

from __future__ import annotations

import os
import sys
from typing import Any

TYPES = {
    "properties__revenue": "decimal", "properties__employees": "bigint",
    "properties__score": "double", "properties__opted_out": "bool",
    "properties__birthdate": "date", "properties__last_contacted": "timestamp",
    "created_at": "timestamp", "updated_at": "timestamp",
}  # fmt: skip
# Nothing on its way is compressed, buffers are larger, and there are several files, so that both
# cores have something to do. CSV, which goes to COPY, is given to `run`.
TUNED = {
    "DATA_WRITER__DISABLE_COMPRESSION": "true",
    "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",
    "DATA_WRITER__BUFFER_MAX_ITEMS": "20000",
    "DATA_WRITER__FILE_MAX_ITEMS": "25000",
    "NORMALIZE__DATA_WRITER__BUFFER_MAX_ITEMS": "20000",
    "NORMALIZE__WORKERS": "2",
    "NORMALIZE__START_METHOD": "spawn",
    "LOAD__WORKERS": "4",
    "LOAD__DELETE_COMPLETED_JOBS": "true",
}


def source(base_url: str, strategy: str) -> Any:
    from dlt.sources.rest_api import rest_api_source

    paginator = {
        "type": "cursor", "cursor_path": "paging.next.after", "cursor_param": "after",
    }  # fmt: skip
    contacts = {
        "name": "meridian_contacts",
        "primary_key": "id",
        "write_disposition": {"disposition": "merge", "strategy": strategy},
        "columns": {name: {"data_type": kind} for name, kind in TYPES.items()},
        "endpoint": {"path": "contacts", "params": {"limit": 100}, "data_selector": "results"},
    }
    client = {"base_url": base_url, "paginator": paginator}
    return rest_api_source({"client": client, "resources": [contacts]})


def main(how: str, base_url: str, store: str, schema: str, folder: str) -> None:
    tuned = how == "tuned"
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false"} | (TUNED if tuned else {})
    import dlt  # after its settings

    if store.startswith("sqlite:"):
        destination, strategy, form = dlt.destinations.sqlalchemy(store), "delete-insert", "parquet"
    else:
        user, _, place = store.partition("://")[2].partition("@")
        if ":" not in user:
            user += ":unused"  # it wants a password, whether the server does or not
        there = f"postgresql://{user}@{place}"
        destination, strategy, form = dlt.destinations.postgres(there), "upsert", "csv"
    pipeline = dlt.pipeline(
        "bench", destination=destination, dataset_name=schema, pipelines_dir=folder
    )
    pipeline.run(source(base_url, strategy), loader_file_format=form if tuned else None)


if __name__ == "__main__":
    main(*sys.argv[1:])
