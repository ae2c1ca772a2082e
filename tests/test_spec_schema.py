"""The printed schema: kept in step with the dataclasses, and right about what it accepts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from crmmap.kinds.auth import AUTH
from crmmap.kinds.checks import CHECKS
from crmmap.kinds.clean import CLEAN
from crmmap.kinds.pagination import PAGINATION
from crmmap.kinds.source import SOURCES
from crmmap.kinds.types import TYPES
from crmmap.spec.schema import mapping_schema
from crmmap.spec.shapes import attributes, shape_of

COMMITTED = Path(__file__).parent.parent / "schemas" / "mapping.schema.json"


def test_the_committed_schema_is_the_printed_one():
    printed = json.dumps(mapping_schema(), indent=2, ensure_ascii=False) + "\n"
    assert COMMITTED.read_text(encoding="utf-8") == printed, "run `make schema`"


def test_the_schema_is_valid_against_its_dialect():
    Draft202012Validator.check_schema(mapping_schema())


def objects(schema):
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for each in schema.values():
            yield from objects(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from objects(each)


def test_no_object_takes_words_that_nobody_declared():
    loose = [
        each
        for each in objects(mapping_schema())
        # A family's object is closed by the definition of the kind that it names.
        if "additionalProperties" not in each and "allOf" not in each
    ]
    assert loose == []


FAMILIES = {"auth": AUTH, "pagination": PAGINATION, "source": SOURCES, "type": TYPES}


@pytest.mark.parametrize(
    ("family", "token"), [(family, token) for family, table in FAMILIES.items() for token in table]
)
def test_every_kind_has_a_definition_with_its_words(family, token):
    definition = mapping_schema()["$defs"][f"{family}.{token}"]
    words = {each.word for each in attributes(FAMILIES[family][token])}
    assert set(definition["properties"]) == {"kind", *words}
    assert definition["additionalProperties"] is False


def test_every_step_and_check_stands_in_its_family():
    definitions = mapping_schema()["$defs"]
    assert list(definitions["clean"]["items"]["else"]["properties"]) == list(CLEAN)
    assert list(definitions["checks"]["properties"]) == list(CHECKS)


def accepts(family, value):
    schema = mapping_schema()
    validator = Draft202012Validator({"$ref": f"#/$defs/{family}", "$defs": schema["$defs"]})
    try:
        validator.validate(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("family", "value"),
    [
        ("type", "text"),
        ("type", "decimal(14,2)"),
        ("type", "decimal(14, 2)"),
        ("type", {"kind": "decimal", "precision": 14}),
        ("type", "text(80)"),
        ("pagination", "link"),
        ("pagination", {"kind": "link", "rel": "next"}),
        ("auth", "none"),
        ("clean", ["trim", {"null_if": "n/a"}, {"null_if": ["n/a", "-"]}]),
        ("clean", []),
        ("checks", {"min": 0, "max": 10}),
    ],
)
def test_what_the_schema_accepts(family, value):
    assert accepts(family, value)


@pytest.mark.parametrize(
    ("family", "value"),
    [
        ("type", "decimal(1.5)"),
        ("type", "decimal(14,2,3)"),
        ("type", "boolean(1)"),
        ("type", {"kind": "text", "precision": 14}),
        ("type", {"precision": 14}),
        ("pagination", "keyset"),
        ("auth", {"kind": "bearer"}),
        ("auth", None),
        ("clean", "trim"),
        ("clean", ["null_if"]),
        ("clean", [{"strip_prefix": "a", "strip_suffix": "b"}]),
        ("clean", [{}]),
        ("checks", {}),
        ("checks", ["min"]),
    ],
)
def test_what_the_schema_refuses(family, value):
    assert not accepts(family, value)


def test_descriptions_and_defaults_reach_the_schema():
    schema = mapping_schema()
    defaults = schema["$defs"]["Defaults"]["properties"]
    assert defaults["clean"]["default"] == ["trim", "empty_to_null"]
    assert defaults["batch"]["default"] == 10_000
    assert schema["$defs"]["Field"]["properties"]["type"]["default"] == "text"
    assert "RFC 6750" in schema["$defs"]["auth.bearer"]["description"]
    undescribed = [
        f"{name}.{word}"
        for name, definition in schema["$defs"].items()
        for word, each in definition.get("properties", {}).items()
        if word != "kind" and "description" not in each and name not in ("checks", "clean")
    ]
    assert undescribed == []


@dataclass(frozen=True)
class Odd:
    """A dataclass that no mapping could fill."""

    value: Annotated[bytes, "What?"]


@pytest.mark.parametrize("hint", [bytes, int | str, list[str], Mapping[int, str]])
def test_an_annotation_that_means_nothing_is_refused(hint):
    with pytest.raises(TypeError, match="can't be declared"):
        shape_of(hint)


def test_an_attribute_that_means_nothing_is_refused():
    with pytest.raises(TypeError, match="can't be declared"):
        attributes(Odd)
