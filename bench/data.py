"""Invented people and visits, the same ones for the same seed.

About one record in a hundred has a fault: a quarter of those cost the record,
the others a cell. Phone numbers and addresses are distinct, as real ones are:
what is computed once per distinct value gets no discount.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

DIRTY = 0.01
FIRST_ID = 10_000_000_000
"""Of contacts: all ids have as many digits."""
GIVEN = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Zoë", "Donald", "José", "Hedy", "Linus",
         "Mary", "Søren", "Ruth", "Noor", "Emil", "Iris")  # fmt: skip
FAMILY = ("Lovelace", "Hopper", "Turing", "Núñez", "Liskov", "Knuth", "Lamarr", "Noether", "Curie",
          "Smith", "Jones", "Brown")  # fmt: skip
WORDS = ("roof", "window", "siding", "estimate", "follow-up", "visit", "urgent", "gate", "dog",
         "ladder", "call", "before", "noon")  # fmt: skip
CITIES = (("Baltimore", "MD"), ("Columbus", "OH"), ("Fort Worth", "TX"), ("Norfolk", "VA"))
AREAS = (201, 202, 205, 206, 212, 214, 215, 240, 301, 303, 312, 401, 404, 410, 412, 415, 443,
         503, 512, 602, 614, 617, 703, 713, 757, 804, 817, 919)  # fmt: skip


def phone(random: Random) -> str:
    area, line = random.choice(AREAS), f"{random.randrange(10_000):04}"
    return random.choice((f"({area}) 555-{line}", f"+1{area}555{line}", f"{area}-555-{line}"))


def words(random: Random, count: int) -> str:
    return " ".join(random.choices(WORDS, k=count))


# --- contacts ---------------------------------------------------------------------------------


def contact(number: int, random: Random) -> dict[str, object]:
    """Return one contact of 25 values, nested and typed as APIs send them: mostly as text."""
    given, family = random.choice(GIVEN), random.choice(FAMILY)
    city, state = random.choice(CITIES)
    moment = f"2024-{random.randint(1, 12):02}-{random.randint(1, 28):02}T10:{number % 60:02}:07"
    properties: dict[str, object] = {
        "email": f"{given}.{family}{number}@Example.com",
        "firstname": given,
        "lastname": family,
        "phone": phone(random) if random.random() < 0.8 else None,
        "mobilephone": phone(random) if random.random() < 0.4 else "",
        "company": f"{family} {words(random, 2)}",
        "jobtitle": words(random, 2),
        "website": f"www.example{number % 997}.com",
        "address": f"{number % 9000 + 1} {words(random, 1)} St",
        "city": city,
        "state": state,
        "zip": f"{number % 100_000:05}",
        "country": "United States",
        "owner_id": str(7_000_000 + number % 40),
        "lifecyclestage": random.choice(("subscriber", "lead", "opportunity", "customer")),
        "status": random.choice(("new", "open", "in_progress", "closed")),
        "revenue": f"{random.randrange(10_000_000) / 100:.2f}",
        "employees": random.randrange(5000),
        "score": round(random.random() * 100, 3),
        "opted_out": random.choice(("true", "false")),
        "birthdate": f"{random.randint(1940, 2004)}-{random.randint(1, 12):02}-15",
        "last_contacted": f"{moment}.{random.randrange(1000):03}Z",
    }
    record = {
        "id": str(FIRST_ID + number),
        "properties": properties,
        "createdAt": f"2023-05-{random.randint(1, 28):02}T08:00:00.{random.randrange(1000):03}Z",
        "updatedAt": f"{moment}.500Z",
        "archived": False,
    }
    if random.random() < DIRTY:
        _spoil(record, properties, random)
    return record


def _spoil(record: dict[str, object], properties: dict[str, object], random: Random) -> None:
    name, bad = random.choice(
        (("updatedAt", "yesterday"), ("email", "none"), ("phone", "n/a 12"), ("revenue", "about 5"))
    )
    (record if name == "updatedAt" else properties)[name] = bad


def contact_pages(count: int, size: int, seed: int = 0) -> list[bytes]:
    """Return the answers of the contacts' API: page `n` is what `after=n` brings."""
    random, pages = Random(seed), []
    for start in range(0, count, size):
        stop = min(start + size, count)
        page: dict[str, object] = {"results": [contact(n, random) for n in range(start, stop)]}
        if stop < count:
            after = str(len(pages) + 1)
            page["paging"] = {"next": {"after": after, "link": f"/contacts?after={after}"}}
        pages.append(json.dumps(page, ensure_ascii=False, separators=(",", ":")).encode())
    return pages or [b'{"results":[]}']


# --- tasks ------------------------------------------------------------------------------------

TASK_HEADERS = (
    "Task ID,Title,External ID,Template,Team,Status,Timezone,Instructions,Created by,Created on,"
    "Scheduled by,Rescheduled (count),Booking ID,Booking Name,Route Name,Assignees,Employee IDs,"
    "Resources,Customer ID,Customer Type,First Name,Last Name,Company,Email,Mobile Number,Address,"
    "Address 2,City,State,Zipcode,Country,Latitude,Longitude,Unscheduled,Start Date,Start Time,"
    "Start Timezone,End Date,End Time,End Timezone,Expected Date,Actual Start,Actual End,Duration,"
    "Travel Time,Wait Time,Task Time,Total Time,Mileage,Price,Rating,Rating Text,SMS out (count),"
    "SMS in (count),Email out (count),Email in (count),Complete,Cancelled,Confirmed,Source"
)


def task_line(number: int, random: Random) -> str:
    """Return one line of the tasks' file: 60 cells, some quoted, a few over two lines."""
    given, family = random.choice(GIVEN), random.choice(FAMILY)
    city, state = random.choice(CITIES)
    month, day, hour = random.randint(1, 12), random.randint(1, 28), random.randint(1, 11)
    date, mobile = f"{month:02}/{day:02}/2024", phone(random)
    created, price = f"{month:02}/{day:02}/2023 {hour:02}:15:00 PM", f"{number % 90_000}.50"
    email = f"{given}{number}@example.com"
    if random.random() < DIRTY:
        which = random.randrange(4)
        created = "soon" if which == 0 else created
        price = "free" if which == 1 else price
        email = "none" if which == 2 else email
        mobile = "n/a 12" if which == 3 else mobile
    note = words(random, 4) + ("\nand mind the dog" if random.random() < 0.02 else "")
    count = number % 7
    return (
        f"{5_800_000_000_000_000 + number},Visit - {family},X{number},Standard,Team {count},Done,"
        f'America/New_York,"{note}",office,{created},office,{count % 3},B{number // 2},'
        f'{family} {city},Route {count},"{given}, {family}",{count + 100},Van {count},'
        f"C{number // 3},Residential,{given},{family},,{email},{mobile},"
        f'"{number % 9000 + 1} Main St, Unit {count}",,{city},{state},{number % 100_000:05},USA,'
        f"{39 + number % 1000 / 1000},{-76 - number % 1000 / 1000},FALSE,{date},{hour:02}:00:00 PM,"
        f"America/New_York,{date},{hour:02}:45:00 PM,America/New_York,{date},"
        f"{date} {hour:02}:03:00 PM,{date} {hour:02}:44:00 PM,41 mins,12 mins,0 mins,41 mins,"
        f"53 mins,{count}.4,{price},{count % 5 + 1},,{count},{count % 2},1,0,TRUE,FALSE,"
        f"{'TRUE' if count else ''},{random.choice(('web', 'phone', 'referral'))}\n"
    )


def task_lines(count: int, seed: int = 0) -> Iterator[str]:
    random = Random(seed)
    yield TASK_HEADERS + "\n"
    for number in range(count):
        yield task_line(number, random)


def write_tasks(path: Path, count: int, seed: int = 0) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(task_lines(count, seed))


if __name__ == "__main__":  # in a process of its own, so that the bench's stays small
    import sys

    write_tasks(Path(sys.argv[1]), int(sys.argv[2]))
