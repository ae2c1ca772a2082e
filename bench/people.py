"""Invented people as an OData service of the old kind sends them: entries of an Atom feed.

42 values each, of which a third is empty, as in life: `m:null`, or an element without text.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from bench.data import CITIES, DIRTY, FAMILY, GIVEN, words

NAMES = (
    "id", "companyId", "firstName", "lastName", "middleInitial", "title", "incomeCode", "ageCode",
    "structureAgeCode", "reference", "businessName", "contactPhoneId", "primaryAddressId",
    "website1", "website2", "website3", "email1", "email1CanMail", "email2", "email2CanMail",
    "email3", "email3CanMail", "isTagged", "structureValueCode", "doNotMail", "yearHomeBuilt",
    "maritalStatus", "lengthOfResidence", "styleOfHome", "mailMergeName", "source", "creationDate",
    "qbSyncDate", "qbId", "isActive", "lastUpdate", "hasDNCPhone", "hasDNEEmail", "qbEditSequence",
    "qbSyncData", "qbName", "createdDate",
)  # fmt: skip
BOOLEANS = frozenset((
    "email1CanMail", "email2CanMail", "email3CanMail", "isTagged", "doNotMail", "isActive",
    "hasDNCPhone", "hasDNEEmail", "qbSyncData",
))  # fmt: skip
MOMENTS = frozenset(("creationDate", "qbSyncDate", "lastUpdate", "createdDate"))
PAGE_SIZE = 5000
HEAD = (
    b'<?xml version="1.0" encoding="utf-8" standalone="yes"?>\n'
    b'<feed xml:base="http://127.0.0.1/Data.svc/"'
    b' xmlns:d="http://schemas.microsoft.com/ado/2007/08/dataservices"'
    b' xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"'
    b' xmlns="http://www.w3.org/2005/Atom"><title type="text">People</title>'
    b"<id>http://127.0.0.1/Data.svc/People</id><updated>2024-06-02T14:00:00Z</updated>"
    b'<link rel="self" title="People" href="People"/>\n'
)
FOOT = b"</feed>\n"


def person(number: int, random: Random) -> dict[str, str | None]:
    """Return one person's values but `id`; None is sent as null, an empty text as it is."""
    given, family = random.choice(GIVEN), random.choice(FAMILY)
    changed = f"2024-{random.randint(1, 12):02}-{random.randint(1, 28):02}T10:{number % 60:02}:07"
    dirty = random.random() < DIRTY
    found: dict[str, str | None] = dict.fromkeys(NAMES[1:])
    found |= dict.fromkeys(("website2", "website3", "email3", "qbId", "incomeCode"), "")
    return found | {
        "companyId": "4711",
        "firstName": given,
        "lastName": family,
        "middleInitial": given[1].upper(),
        "title": random.choice(("Mr & Mrs", "Ms", "")),
        "reference": words(random, 2),
        "businessName": f"{family} <{words(random, 1)}> Ltd" if number % 5 == 0 else None,
        "contactPhoneId": _guid(number + 7_000_000),
        "primaryAddressId": _guid(number + 8_000_000),
        "website1": f"www.example{number % 997}.com",
        "email1": "none" if dirty and number % 2 else f"{given}.{family}{number}@example.com",
        "email1CanMail": "true",
        "email2": f"{given}{number}@example.org" if number % 3 == 0 else None,
        "email2CanMail": "false",
        "email3CanMail": "false",
        "isTagged": random.choice(("true", "false")),
        "doNotMail": "false",
        "yearHomeBuilt": str(random.randint(1890, 2020)),
        "maritalStatus": random.choice(("Married", "Single", "")),
        "styleOfHome": random.choice(("Colonial", "Ranch", "Cape Cod")),
        "mailMergeName": f"{given} {family}",
        "source": random.choice(CITIES)[0],
        "creationDate": f"2023-05-{random.randint(1, 28):02}T08:00:00",
        "isActive": "true",
        "lastUpdate": "yesterday" if dirty and number % 4 == 0 else f"{changed}.757-04:00",
        "hasDNCPhone": random.choice(("true", "false")),
        "hasDNEEmail": "false",
        "qbSyncData": "false",
        "createdDate": f"2023-05-{random.randint(1, 28):02}T08:00:00.1",
    }


def tail(values: dict[str, str | None]) -> bytes:
    """Return what of an entry follows upon its id."""
    inner = "".join(_element(name, value) for name, value in values.items())
    return f"</d:id>{inner}</m:properties></content></entry>\n".encode()


def _element(name: str, value: str | None) -> str:
    kind = "Boolean" if name in BOOLEANS else "DateTime" if name in MOMENTS else ""
    typed = f' m:type="Edm.{kind}"' if kind else ""
    if value is None:
        return f'<d:{name}{typed} m:null="true"/>'
    text = value.replace("&", "&amp;").replace("<", "&lt;")
    return f"<d:{name}{typed}>{text}</d:{name}>"


def feed(start: int, stop: int, tails: Sequence[bytes]) -> bytes:
    """Return the feed of the people from `start` below `stop`, their values taken in turn."""
    entries = (_head(_guid(number)) + tails[number % len(tails)] for number in range(start, stop))
    return b"%b%b%b" % (HEAD, b"".join(entries), FOOT)


def _head(guid: str) -> bytes:
    return (
        f"<entry><id>http://127.0.0.1/Data.svc/People('{guid}')</id>"
        '<title type="text"></title><updated>2024-06-02T14:00:00Z</updated><author><name/></author>'
        f"""<link rel="edit" title="Person" href="People('{guid}')"/>"""
        '<category term="Model.Person"'
        ' scheme="http://schemas.microsoft.com/ado/2007/08/dataservices/scheme"/>'
        f'<content type="application/xml"><m:properties><d:id>{guid}'
    ).encode()


def _guid(number: int) -> str:
    return f"{number:08x}-5ca1-4e00-8000-{number:012x}"
