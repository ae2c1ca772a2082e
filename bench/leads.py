"""Invented leads in a MariaDB table, as a home improvement company's own CRM keeps them.

`python -m bench.leads URL COUNT` fills an empty database with `lead` and `division`.
"""

from __future__ import annotations

import sys
from random import Random
from typing import Any

from bench.data import CITIES, DIRTY, FAMILY, GIVEN, phone, words
from bench.stores import mysql_connection

VARIETY = 10_000
DIVISIONS = 40
COLUMNS = {
    "lead_id": "INT PRIMARY KEY", "contact": "INT", "division": "INT", "first_name": "VARCHAR(64)",
    "last_name": "VARCHAR(64)", "address1": "VARCHAR(64)", "address2": "VARCHAR(64)",
    "city": "VARCHAR(64)", "state": "CHAR(2)", "zip": "VARCHAR(7)", "county": "VARCHAR(64)",
    "email": "VARCHAR(128)", "phone1": "VARCHAR(16)", "type1": "SMALLINT", "phone2": "VARCHAR(16)",
    "type2": "SMALLINT", "source": "SMALLINT", "source_notes": "VARCHAR(64)",
    "sourced_on": "DATETIME", "job_type": "INT", "rating": "INT", "year_built": "CHAR(4)",
    "notes": "TEXT", "status": "INT", "substatus": "INT", "substatus_reason": "VARCHAR(64)",
    "added_by": "INT", "added_on": "DATETIME", "latitude": "DECIMAL(9,7)",
    "longitude": "DECIMAL(10,7)", "viewed_on": "DATETIME", "is_estimate_set": "TINYINT(1)",
    "estimate_set_by": "INT", "estimate_set_on": "DATETIME", "dead_on": "DATETIME",
    "dead_by": "INT", "dead_note": "VARCHAR(64)", "lead_cost": "FLOAT",
    "import_source": "VARCHAR(64)", "copied_to_on": "DATETIME", "with_dm": "INT",
    "agent_name": "VARCHAR(64)", "is_dnc": "TINYINT(1)", "is_dummy": "TINYINT(1)",
    "do_not_call_before": "DATETIME", "marketing_source": "INT", "updated_at": "DATETIME NOT NULL",
}  # fmt: skip


def lead(number: int, random: Random) -> tuple[object, ...]:
    given, family = random.choice(GIVEN), random.choice(FAMILY)
    city, state = random.choice(CITIES)
    day = f"2024-{random.randint(1, 12):02}-{random.randint(1, 28):02}"
    bad = random.randrange(2) if random.random() < DIRTY else None
    dead = number % 3 == 0
    return (
        number, number % 5000, number % DIVISIONS + 1, given, family,
        f"{number % 9000 + 1} {words(random, 1)} St", None, city, state, f"{number % 100_000:05}",
        city, "none" if bad == 0 else f"{given}.{family}{number}@Example.com",
        "n/a 12" if bad == 1 else phone(random), 1, phone(random) if number % 3 else "", 2,
        number % 12, words(random, 2), f"{day} 10:{number % 60:02}:07", 2, number % 5,
        str(random.randint(1890, 2020)), words(random, 12), number % 9, number % 4, None,
        number % 70, f"{day} 09:00:00", f"{39 + number % 1000 / 1000}",
        f"{-76 - number % 1000 / 1000}",
        "0000-00-00 00:00:00" if number % 2 else f"{day} 11:00:00", number % 2, number % 60,
        f"{day} 12:30:00", f"{day} 18:00:00" if dead else None, number % 50 if dead else None,
        words(random, 3) if dead else "", 20 + number % 40 / 4, "", None, -1, "", 0, 0, None,
        number % 30, f"{day} 19:00:{number % 60:02}",
    )  # fmt: skip


def fill(url: str, count: int) -> None:
    """Make the tables; what is beyond VARIETY are copies with ids of their own."""
    with mysql_connection(url, autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_mode = ''")  # as servers were, when zero dates came about
        cursor.execute("CREATE TABLE division (id INT PRIMARY KEY, label VARCHAR(64))")
        cursor.execute(
            f"CREATE TABLE lead ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})"
        )
        divisions = [(number + 1, f"Branch {number + 1}") for number in range(DIVISIONS)]
        cursor.executemany("INSERT INTO division VALUES (%s, %s)", divisions)
        random, places = Random(0), ", ".join(["%s"] * len(COLUMNS))
        leads = [lead(number, random) for number in range(min(count, VARIETY))]
        cursor.executemany(f"INSERT INTO lead VALUES ({places})", leads)
        _multiply(cursor, len(leads), count)
        connection.commit()


def _multiply(cursor: Any, there: int, count: int) -> None:
    others = ", ".join(list(COLUMNS)[1:])
    while there < count:
        cursor.execute(
            f"INSERT INTO lead SELECT lead_id + {there}, {others} FROM lead "
            f"WHERE lead_id < {count - there}"
        )
        there = min(2 * there, count)


if __name__ == "__main__":
    fill(sys.argv[1], int(sys.argv[2]))
