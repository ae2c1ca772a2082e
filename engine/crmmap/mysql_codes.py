"""What MySQL and MariaDB call their errors, by the numbers that both share."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

UNREACHABLE = {
    1044: "the server does not let this user into the database",
    1045: "the server refuses the user or the password",
    1698: "the server refuses the user or the password",
    1049: "the server has no such database",
    1129: "the server blocks this host after too many failed connections",
    1130: "the server lets nobody in from this host",
    1226: "the user has as many connections, or queries, as the server allows",
    2002: "the host refuses the connection, or does not answer; is the server running, and is the "
    "port right?",
    2003: "the host refuses the connection, or does not answer; is the server running, and is the "
    "port right?",
    2005: "the host's name is not known",
    2026: "no TLS connection can be made",
}
LOST = {
    1053: "the server is shutting down",
    1927: "the connection was ended by the server",
    2006: "the connection was lost",
    2013: "the connection was lost",
    2014: "the connection was lost",
    2045: "the connection was lost",
    2055: "the connection was lost",
    4031: "the connection was ended by the server",
}


def error_code(error: DBAPIError) -> int:
    """Return an error's number; 0 where it has none, as where the connection was gone before."""
    arguments = getattr(error.orig, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else 0
