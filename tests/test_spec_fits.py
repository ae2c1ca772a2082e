"""The quick check of a document says what the printed schema says, of whatever is written."""

from __future__ import annotations

import random
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import yaml

from crmmap.spec.document import read_document
from crmmap.spec.fits import holds
from crmmap.spec.model import Mapping
from crmmap.spec.nodes import Unreadable
from crmmap.spec.schema import mapping_schema
from crmmap.spec.validate import validator_of

CASES = sorted((Path(__file__).parent / "cases" / "problems").glob("*.yaml"))
ODD = (
    None, True, False, 0, 1, 1.0, -1, 0.5, 10**12, "", "x", "x\n", "1", "null", "phone",
    "decimal(3,2)", "decimal(3,2)\n", "text(9", [], {}, ["trim"], [{"trim": True}], {"kind": "x"},
    {"kind": "bearer"}, {"kind": ["x"]}, {"trim": True, "upper": True},
)  # fmt: skip


@cache
def validator():
    return validator_of(mapping_schema())


@cache
def documents():
    found = []
    for file in CASES:
        text = yaml.safe_load(file.read_text(encoding="utf-8"))["mapping"]
        try:
            found.append(read_document(text.encode()).value)
        except Unreadable:
            continue
    return tuple(each for each in found if isinstance(each, dict))


def holders(value):
    if isinstance(value, dict | list):
        yield value
        for each in value.values() if isinstance(value, dict) else value:
            yield from holders(each)


def spoil(chance, document):
    """Change one place: another value, one from elsewhere, a word more, a word less."""
    place = chance.choice([each for each in holders(document) if each])
    key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
    match chance.randrange(6):
        case 0:
            del place[key]
        case 1 if isinstance(place, dict):
            place[chance.choice(("odd", "kind", "1", "über", "name"))] = place[key]
        case 2 | 3:
            other = chance.choice(list(holders(chance.choice(documents()))))
            place[key] = deepcopy(other)
        case _:
            place[key] = chance.choice(ODD)


@pytest.mark.parametrize("seed", range(2))
def test_the_quick_check_says_what_the_schema_says(seed):
    chance, told = random.Random(seed), {True: 0, False: 0}
    for document in documents():
        for _ in range(3):
            spoilt = deepcopy(document)
            for _ in range(chance.randrange(3)):
                spoil(chance, spoilt)
            quick = holds(spoilt, Mapping)
            assert quick == validator().is_valid(spoilt), spoilt
            told[quick] += 1
    assert min(told.values()) > 10  # neither is rare
