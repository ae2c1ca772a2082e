"""A Singer tap and a target load the benchmark's contacts into PostgreSQL.

`python -m bench.singer_contacts TAP TARGET BASE_URL STORE_URL SCHEMA FOLDER`. The tap finds
the types of the columns by itself, from the first hundred records.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def main(tap: str, target: str, base_url: str, store: str, schema: str, folder: str) -> None:
    contacts = {
        "name": "meridian_contacts", "path": "/contacts", "params": {"limit": 100},
        "primary_keys": ["id"], "records_path": "$.results[*]", "num_inference_records": 100,
    }  # fmt: skip
    reading = _written(
        Path(folder) / "tap.json",
        {
            "api_url": base_url, "pagination_request_style": "jsonpath_paginator",
            "pagination_response_style": "page", "next_page_token_path": "$.paging.next.after",
            "pagination_next_page_param": "after", "streams": [contacts],
        },
    )  # fmt: skip
    writing = _written(
        Path(folder) / "target.json",
        {
            "sqlalchemy_url": store.replace("postgresql:", "postgresql+psycopg:"),
            "default_target_schema": schema, "use_copy": True, "load_method": "upsert",
            "add_record_metadata": False, "activate_version": False,
        },
    )  # fmt: skip
    with subprocess.Popen([tap, "--config", reading], stdout=subprocess.PIPE) as source:
        written = subprocess.run([target, "--config", writing], stdin=source.stdout, check=False)
    sys.exit(source.returncode or written.returncode)


def _written(file: Path, settings: dict[str, object]) -> str:
    file.write_text(json.dumps(settings), encoding="utf-8")
    return str(file)


if __name__ == "__main__":
    main(*sys.argv[1:])
