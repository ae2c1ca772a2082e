"""Silent losses of the libraries below us, each with the test that shows we do not repeat it.

Where a room's own tests hold the proof, the index names it; the rest is here.
"""

from __future__ import annotations

import ast
import socket
from pathlib import Path

import pytest
import sqlalchemy as sa
from referencing.exceptions import Unresolvable

from crmmap.errors import MappingError
from crmmap.extract.files import CsvFile, Wanted, read_pages
from crmmap.extract.regular_file import Local
from crmmap.kinds.formats import Csv
from crmmap.load import Store
from crmmap.spec import read_mapping
from crmmap.spec.validate import validator_of
from invented import mapping
from stores import sqlite_url

HERE = Path(__file__).parent

INDEX = {
    "a truncated gzip body is taken for a whole one": (
        "test_extract_client_body.py", "test_a_changed_gzip_body_never_gives_other_data",
    ),
    "polars infers a schema from the first rows and drops later keys": (
        "test_select_jmespath.py", "test_a_key_first_seen_in_a_late_record_is_selected",
    ),
    "a redirect's body is read and decompressed even if it is not followed": (
        "test_extract_client.py", "test_a_bomb_takes_little_memory_wherever_it_stands",
    ),
    "a next link to another host carries the credentials": (
        "test_extract_client.py",
        "test_a_link_to_another_origin_gets_no_request_and_no_credentials",
    ),
    "a database's error message holds the values": (
        "test_load_refusals.py", "test_no_value_is_in_any_message",
    ),
    "polars' panics are no Exception": (
        "test_transform.py", "test_a_record_that_breaks_the_batch_costs_itself_only",
    ),
    "jinja2 computes constants while compiling": (
        "test_template.py", "test_what_could_harm_is_refused_before_it_is_compiled",
    ),
    "a time-out is per read, not for the whole answer": (
        "test_extract_client.py", "test_an_answer_that_drips_is_cut_at_the_deadline",
    ),
}  # fmt: skip


@pytest.mark.parametrize("trap", INDEX)
def test_the_proof_is_where_the_index_says(trap: str) -> None:
    file, name = INDEX[trap]
    tree = ast.parse((HERE / file).read_text())
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_a_rollback_on_sqlite_undoes_released_savepoints_and_tables_too(tmp_path: Path) -> None:
    """SQLAlchemy's default on SQLite: a released savepoint survives the outer rollback."""
    store = Store.open(sqlite_url(tmp_path), application="tests")
    with store.engine.connect() as connection:
        with connection.begin() as outer:
            connection.exec_driver_sql("CREATE TABLE t (x INTEGER)")
            with connection.begin_nested():
                connection.exec_driver_sql("INSERT INTO t VALUES (1)")
            outer.rollback()
        assert sa.inspect(connection).get_table_names() == []
    store.close()


@pytest.mark.parametrize(
    ("written", "rows", "refused"),
    [
        (b"a,b\r1,2\r3,4\r", [("1", "2"), ("3", "4")], 0),  # CR only: no row at all, elsewhere
        ("a,b\n1,\u00e9\n".encode("utf-16"), [("1", "\u00e9")], 0),  # mojibake
        (b"a,b\n1\n3,4\n", [("3", "4")], 1),  # a short row is padded
        (b'a,b\n5" pipe,2\n3,4\n', [("3", "4")], 1),  # one stray quote fails the whole file
        (b"a,b,x,x\n1,2,3,4\n", [("1", "2")], 0),  # duplicate headers are renamed
    ],
)
def test_a_csv_file_gives_all_its_records_and_no_others(
    tmp_path: Path, written: bytes, rows: list[tuple[str, str]], refused: int
) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(written)
    file = CsvFile(file=Local(path=path), format=Csv(), wanted=Wanted(headers=[["a"], ["b"]]))
    pages = list(read_pages(file))
    assert [row for page in pages for row in page.records.select("a", "b").rows()] == rows  # type: ignore[union-attr]
    assert sum(len(page.refused) for page in pages) == refused


def test_checking_a_mapping_opens_no_connection_and_quotes_no_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """jsonschema fetches a remote `$ref`; PyYAML's errors quote the line, pasted secrets too."""

    def refuse(*_: object) -> None:
        message = "a connection was opened"
        raise AssertionError(message)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert mapping().name == "shipyard"
    with pytest.raises(Unresolvable):
        validator_of({"$ref": "http://127.0.0.1:9/schema.json"}).is_valid({})
    with pytest.raises(MappingError) as caught:
        read_mapping(b"token: pat-secret-1\n\tx: 1", "m.yaml")
    assert "pat-secret-1" not in str(caught.value)
