"""Connections to MySQL and MariaDB: how they are made, what is set in them, and what they hold."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from typing import Any

from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import OperationalError

from crmmap.errors import StoreUnfit
from crmmap.load.dialects import (
    LONGEST_STATEMENT,
    LOOPBACK,
    WRITTEN,
    check_options,
    seconds,
    single,
)
from crmmap.load.multirow import PACKET

OPTIONS = (
    "ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_cert", "ssl_check_hostname", "ssl_disabled",
    "unix_socket", "lock_timeout", "statement_timeout",
)  # fmt: skip
SWITCHES = {"true": True, "1": True, "false": False, "0": False}

MODES = (
    "STRICT_ALL_TABLES", "NO_ZERO_DATE", "NO_ZERO_IN_DATE", "ERROR_FOR_DIVISION_BY_ZERO",
    "NO_ENGINE_SUBSTITUTION", "NO_AUTO_VALUE_ON_ZERO",
)  # fmt: skip
"""Without the first, what does not fit a column is cut in silence."""

SETTINGS = (
    f"SET SESSION sql_mode = '{','.join(MODES)}', time_zone = '+00:00', wait_timeout = 60, "
    "innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}"
)
ISOLATION = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
STATEMENTS = "SET SESSION max_statement_time = {seconds}"
"""MariaDB's alone: MySQL has a limit for SELECT only."""
ANSWER_LATER = 30
"""Seconds after a statement's limit for which the server's answer is waited for."""

WIDE_ROWS = "SET SESSION innodb_strict_mode = OFF"
"""A table of hundreds of texts can be made, as most rows fit; one that does not is refused."""

CHECKED = (
    "SELECT version(), @@sql_mode, @@time_zone, @@max_allowed_packet, @@lower_case_table_names"
)
FOLDS = "crmmap_folds"
"""Where a connection's `info` keeps whether tables whose names differ in case only are one."""

OLDEST = {"MariaDB": (10, 4), "MySQL": (8, 0, 17)}
"""The first that enforce CHECK, and know a collation that tells all texts apart."""

SMALLEST_PACKET = 1 << 20

HELD = "crmmap_held"
HOLD = "SELECT get_lock(concat('crmmap:', md5(database())), @@innodb_lock_wait_timeout)"
LET_GO = "DO release_lock(concat('crmmap:', md5(database())))"
LOCK_TIMEOUT = 1205


def connection_of(url: URL, application: str) -> dict[str, Any]:
    """Return PyMySQL's parameters. Raises StoreUnfit where the URL can't do."""
    check_options(url, OPTIONS)
    if not url.database:
        message = f"the store's URL names no database. {WRITTEN}"
        raise StoreUnfit(message)
    options = _options(url)
    socket = {"unix_socket": options["unix_socket"]} if "unix_socket" in options else {}
    return {
        **socket,
        **_secured(options, local=bool(socket) or (url.host or "") in LOOPBACK),
        # PyMySQL itself would take a password for Latin-1.
        **({"password": url.password.encode()} if url.password else {}),
        "charset": "utf8mb4",
        "program_name": application,
        "connect_timeout": 10,
        "read_timeout": longest_statement(url) + ANSWER_LATER,
        "write_timeout": longest_statement(url) + ANSWER_LATER,
        "local_infile": False,
        "init_command": SETTINGS.format(seconds=seconds(options, "lock_timeout", 10)),
        "conv": _conversions(),
    }


def _options(url: URL) -> dict[str, str]:
    return {name: single(value) for name, value in url.query.items()}


def longest_statement(url: URL) -> int:
    """Return how many seconds a statement may take. Raises StoreUnfit where the URL can't do."""
    return seconds(_options(url), "statement_timeout", LONGEST_STATEMENT)


def _secured(options: dict[str, str], *, local: bool) -> dict[str, Any]:
    asked = [name for name in options if name.startswith("ssl_")]
    if _switch(options, "ssl_disabled", default=local and not asked):
        return {"ssl_disabled": True}
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca"))
        if "ssl_cert" in options:
            context.load_cert_chain(options["ssl_cert"], options.get("ssl_key"))
    except OSError:
        message = "the store's URL names a certificate or key that can't be read"
        raise StoreUnfit(message) from None
    # The certificates that MySQL makes for itself are not quite as strict as Python 3.13 is.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    verified = _switch(options, "ssl_verify_cert", default=True)
    context.check_hostname = verified and _switch(options, "ssl_check_hostname", default=True)
    context.verify_mode = ssl.CERT_REQUIRED if verified else ssl.CERT_NONE
    return {"ssl": context}


def _switch(options: dict[str, str], name: str, *, default: bool) -> bool:
    if name not in options:
        return default
    if options[name].lower() not in SWITCHES:
        message = f"the store's URL: {name} is true or false"
        raise StoreUnfit(message)
    return SWITCHES[options[name].lower()]


def _conversions() -> dict[Any, Callable[..., Any]]:
    from pymysql.constants import FIELD_TYPE
    from pymysql.converters import conversions, convert_time

    return {**conversions, FIELD_TYPE.TIME: convert_time}  # not a length of time


def set_up(connection: Any, record: Any, *, longest: int = LONGEST_STATEMENT) -> None:
    """Make a new connection strict, and see that it is. Raises StoreUnfit where it can't be.

    `longest` are the seconds that a statement may take.
    """
    with connection.cursor() as cursor:
        cursor.execute(CHECKED)
        version, modes, zone, packet, folds = cursor.fetchone()
        maria = "mariadb" in version.lower()
        _check_version("MariaDB" if maria else "MySQL", version)
        if not set(MODES) <= set(modes.split(",")) or zone != "+00:00":
            message = (
                "the server, or a proxy before it, does not let a session be strict "
                "(SET SESSION sql_mode, time_zone): it would cut values in silence"
            )
            raise StoreUnfit(message)
        if packet < SMALLEST_PACKET:
            message = "the server's max_allowed_packet is too small; raise it to 16M"
            raise StoreUnfit(message)
        record.info.update({PACKET: packet, FOLDS: folds != 0})
        cursor.execute(ISOLATION)
        if maria:
            cursor.execute(STATEMENTS.format(seconds=longest))
        _try(cursor, WIDE_ROWS)


def _check_version(kind: str, version: str) -> None:
    found = tuple(map(int, re.findall(r"\d+", version)[:3]))
    if found < OLDEST[kind]:
        oldest = ".".join(map(str, OLDEST[kind]))
        numbers = ".".join(map(str, found))
        message = f"{kind} {numbers} is too old; crmmap needs {oldest} or newer"
        raise StoreUnfit(message)


def _try(cursor: Any, statement: str) -> None:
    """Set what some servers let only privileged users set."""
    from pymysql.err import Error

    try:
        cursor.execute(statement)
    except Error:
        return


def hold(connection: Connection) -> None:
    """Hold the database's lock until the connection goes back to its pool.

    A lock of a transaction would not do: DDL ends transactions.
    """
    if connection.exec_driver_sql(HOLD).scalar() != 1:
        from pymysql.err import OperationalError as Late

        raise OperationalError(HOLD, None, Late(LOCK_TIMEOUT, ""))
    connection.info[HELD] = True


def let_go(connection: Any, record: Any) -> None:
    """Let go what `hold` took; a connection that is gone has let go already."""
    if connection is not None and record.info.pop(HELD, False):
        with connection.cursor() as cursor:
            cursor.execute(LET_GO)
