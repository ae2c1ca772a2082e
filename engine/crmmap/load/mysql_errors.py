"""What MySQL's and MariaDB's errors mean for us, by their numbers: never by texts with values."""

from __future__ import annotations

import re
import socket
import ssl

from sqlalchemy.exc import DBAPIError

from crmmap.errors import StoreError, StoreUnfit, StoreUnreachable
from crmmap.load.dialects import REFERRED_TO, TIMED_OUT, Fault, Refusal
from crmmap.load.multirow import TOO_LONG
from crmmap.mysql_codes import LOST, UNREACHABLE, error_code

ANOTHER_ROW = 1242
"""What our own guard makes of a row that meets another by a unique index beside the key."""

KINDS = {
    1048: "not_null",
    1364: "not_null",
    1062: "unique",
    1586: "unique",
    ANOTHER_ROW: "unique",
    1216: "foreign_key",
    1217: "foreign_key",
    1451: "foreign_key",
    1452: "foreign_key",
    3819: "check",
    4025: "check",
    1406: "length",
    1264: "range",
    1690: "range",
    1441: "range",
    1265: "type",
    1292: "type",
    1300: "type",
    1366: "type",
    1411: "type",
    1525: "type",
    3140: "type",
    1118: "size",
    TOO_LONG: "packet",
    1644: "trigger",
}
NAMED = (
    r"^(?:Column|Field) '(?P<column>\w+)' (?:cannot be null|doesn't have a default value)$",
    r" for column (?:`\w+`\.`\w+`\.)?['`](?P<column>\w+)['`] at row \d+$",
    r" for key '(?:\w+\.)?(?P<constraint>\w+)'$",
    r"^CONSTRAINT `(?P<constraint>\w+)` failed for ",
    r"^Check constraint '(?P<constraint>\w+)' is violated\.$",
    r" CONSTRAINT `(?P<constraint>\w+)` FOREIGN KEY ",
)
"""Where the messages tell names of the schema. Values stand before these, and never in them."""

AGAIN = {
    1020: "transactions of others kept getting in the way; run again",
    1040: "the server has no connection left; end others, or raise max_connections",
    1047: "the server is no part of its cluster yet; run again",
    1203: "the user has as many connections as the server allows",
    1205: "a row or table was locked by others for too long; run again",
    1213: "transactions of others kept getting in the way; run again",
    1412: "a table was changed meanwhile; run again",
}
UNFIT = {
    1005: "the table can't be made: it has more columns than the server allows, or a foreign key "
    "whose two columns do not fit each other",
    1050: "a table of that name is there, perhaps written in another case; rename one of them",
    1060: "two columns have names that are one to the server; rename one of them in the mapping",
    1071: "the key is longer than the server allows; choose a shorter one",
    1117: "the table has more columns than the server allows; leave some out",
    1118: "the table's row is longer than the server allows; leave some of its columns out",
    1142: "the user lacks a privilege; grant SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, "
    "REFERENCES and CREATE TEMPORARY TABLES on the database",
    1143: "the user lacks a privilege on a column; grant it on the whole table",
    1170: "the type of a key's column can't have an index; choose another",
    1425: "a decimal has more places than the server allows (MySQL: 30)",
    1628: "a table's comment is longer than 2048 characters; shorten it",
    1629: "a column's comment is longer than 1024 characters; shorten it",
    3750: "the server demands a primary key of every table (sql_require_primary_key)",
}
EXPLAINED = {
    **dict.fromkeys((1217, 1451), REFERRED_TO),
    **UNREACHABLE,
    **LOST,
    **AGAIN,
    **UNFIT,
    1021: "the server's disk is full; make room and run again: what was committed stays",
    1114: "the server's disk is full; make room and run again: what was committed stays",
    1290: "the server is read-only; name its primary",
    1836: "the server is read-only; name its primary",
    1054: "a column was dropped meanwhile; run again to have it made anew",
    1146: "a table was dropped meanwhile; run again to have it made anew",
    1153: "a record is longer than the server takes in one statement; raise its max_allowed_packet",
    1665: "the server's binlog_format is STATEMENT, which can't keep up with READ COMMITTED; set "
    "it to ROW or MIXED",
    1317: "the statement was ended by someone",
    1969: TIMED_OUT,
    3024: "a statement took longer than its timeout",
}
NO_TLS = (
    "no trusted TLS connection; the server must offer a certificate that this machine trusts "
    "(or name its authority: ?ssl_ca=FILE), or the URL must say ?ssl_verify_cert=false or "
    "?ssl_disabled=true"
)


def fault_of(error: DBAPIError) -> Fault:
    """Tell what an error means for its transaction."""
    code = error_code(error)
    if error.connection_invalidated or code in LOST or code in (0, 2002, 2003):
        return Fault.LOST
    return Fault.AGAIN if code in AGAIN else Fault.FINAL


def refusal_of(error: DBAPIError) -> Refusal | None:
    """Tell why rows were refused, or None where the error is not about the rows."""
    kind = KINDS.get(error_code(error))
    if kind is None:
        return None
    # A trigger's message is its own, and may hold anything.
    names = {} if kind == "trigger" else _names(str(error.orig.args[1]))  # type: ignore[union-attr]
    return Refusal(kind=kind, **names)


def explanation(error: DBAPIError) -> str:
    """Tell what an error is and what to do."""
    code = error_code(error)
    cause = getattr(error.orig, "original_exception", None)
    meaning = EXPLAINED.get(code, "the server refuses" if code else "the connection was lost")
    if isinstance(cause, ssl.SSLError) or code == 2026:
        meaning = NO_TLS
    elif isinstance(cause, socket.gaierror):
        meaning = UNREACHABLE[2005]
    elif isinstance(cause, TimeoutError):
        meaning = "the host does not answer"
    return f"{meaning} (error {code})" if code else meaning


def failure_of(error: DBAPIError) -> type[StoreError]:
    """Return what an error is that was met before anything was attempted."""
    code = error_code(error)
    if code in UNREACHABLE or not code:
        return StoreUnreachable
    return StoreUnfit if code in UNFIT or 1064 <= code <= 1075 else StoreError


def _names(message: str) -> dict[str, str]:
    for pattern in NAMED:
        found = re.search(pattern, message)
        if found:
            return found.groupdict()
    return {}
