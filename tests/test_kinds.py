"""Every kind has its case file; here run those of types, clean steps and checks.

Given text → value, or refused. The files of the other families are run in `test_kinds_sources`.
"""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import get_args, get_type_hints

import polars as pl
import pytest
import yaml

from crmmap import kinds
from crmmap.kinds.actions import ACTIONS
from crmmap.kinds.auth import AUTH
from crmmap.kinds.checks import CHECKS, rule_name
from crmmap.kinds.clean import CLEAN
from crmmap.kinds.formats import FORMATS
from crmmap.kinds.incremental import INCREMENTAL
from crmmap.kinds.pagination import PAGINATION
from crmmap.kinds.retry import Retry
from crmmap.kinds.shapes import SHAPES
from crmmap.kinds.source import SOURCES
from crmmap.kinds.types import TYPES
from crmmap.kinds.writes import WRITES

CASES = Path(__file__).parent / "cases"
# Retry is no table of kinds; its word is how the waits grow.
GROWTHS = dict.fromkeys(get_args(get_type_hints(Retry)["backoff"]), Retry)
FAMILIES = {
    "types": TYPES, "clean": CLEAN, "checks": CHECKS, "auth": AUTH, "pagination": PAGINATION,
    "formats": FORMATS, "source": SOURCES, "retry": GROWTHS,
    "incremental": INCREMENTAL, "actions": ACTIONS, "shapes": SHAPES,
    "writes": WRITES,
}  # fmt: skip


def cases(family):
    for path in sorted((CASES / family).glob("*.yaml")):
        for number, case in enumerate(yaml.safe_load(path.read_text("utf-8")), start=1):
            yield pytest.param(path.stem, case, id=f"{path.stem}-{number}")


def made(table, word, case):
    attributes = {
        name: tuple(value) if isinstance(value, list) else one_or_many(word, name, value)
        for name, value in case.get("with", {}).items()
    }
    return table[word](**attributes)


def one_or_many(word, name, value):
    several = {"yes", "no", "formats"} | ({"value"} if word in ("null_if", "one_of") else set())
    return (value,) if name in several else value


def column(texts):
    return pl.DataFrame({"text": [*texts, None]}, schema={"text": pl.String})


@pytest.mark.parametrize(("word", "case"), [*cases("types")])
def test_types(word, case):
    kind = made(TYPES, word, case)
    reads, refuses = case.get("reads", {}), case.get("refuses", [])
    frame = column([*reads, *refuses]).with_columns(value=kind.read(pl.col("text")))
    shown = frame.with_columns(shown=kind.show(pl.col("value")))
    assert frame.schema["value"] == kind.dtype
    assert dict(shown.select("text", "shown").iter_rows()) == {
        **reads, **dict.fromkeys(refuses), None: None,
    }  # fmt: skip


@pytest.mark.parametrize(("word", "case"), [*cases("clean")])
def test_clean(word, case):
    step = made(CLEAN, word, case)
    given = column(case["gives"])
    result = given.with_columns(result=step.apply(pl.col("text")))
    assert result.schema["result"] == pl.String
    assert dict(result.iter_rows()) == {**case["gives"], None: None}


@pytest.mark.parametrize(("word", "case"), [*cases("checks")])
def test_checks(word, case):
    check = made(CHECKS, word, case)
    kind = TYPES[case["of"]]()
    passes, fails = case.get("passes", []), case.get("fails", [])
    frame = column([*passes, *fails]).with_columns(value=kind.read(pl.col("text")))
    assert frame["value"].null_count() == 1, "the case file gives a text that is not of the type"
    judged = frame.select("text", check.passes(pl.col("value")).alias("passed"))
    expected = {**dict.fromkeys(passes, True), **dict.fromkeys(fails, False), None: None}
    assert dict(judged.iter_rows()) == expected
    assert check.applies_to(kind.dtype)
    assert rule_name(check) == word


@pytest.mark.parametrize(
    ("family", "word"), [(family, word) for family, table in FAMILIES.items() for word in table]
)
def test_every_kind_has_a_case_file_and_a_docstring(family, word):
    kind = FAMILIES[family][word]
    assert (CASES / family / f"{word}.yaml").is_file()
    assert kind.__doc__
    assert not kind.__doc__.startswith(f"{kind.__name__}("), "only dataclass's own docstring"


def tables_of_kinds():
    for module in iter_modules(kinds.__path__, "crmmap.kinds."):
        for name, value in vars(import_module(module.name)).items():
            if name.isupper() and isinstance(value, dict) and all_kinds(value):
                yield pytest.param(value, id=f"{module.name}.{name}")


def all_kinds(table):
    return bool(table) and all(isinstance(kind, type) for kind in table.values())


@pytest.mark.parametrize("table", [*tables_of_kinds()])
def test_every_table_of_kinds_is_a_family_here(table):
    assert any(table is family for family in FAMILIES.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_case_file_has_its_kind(family):
    assert {path.stem for path in (CASES / family).iterdir()} <= set(FAMILIES[family])


@pytest.mark.parametrize(
    ("word", "wrong"),
    [("min", "text"), ("max", "date"), ("pattern", "integer"), ("min_length", "number"),
     ("max_length", "boolean"), ("after", "text"), ("before", "integer"), ("one_of", "decimal")],
)  # fmt: skip
def test_checks_decline_types_that_they_cannot_judge(word, wrong):
    value = {"after": "2020-01-01", "before": "2020-01-01", "pattern": "a"}.get(word, 1)
    assert not CHECKS[word](value=value).applies_to(TYPES[wrong]().dtype)


@pytest.mark.parametrize(
    ("word", "attributes", "says"),
    [
        ("decimal", {"precision": 2, "scale": 3}, "scale 3 is more than precision 2"),
        ("decimal", {"group": ".", "point": "."}, "not the point"),
        ("decimal", {"group": "1"}, "no digit"),
        ("boolean", {"yes": ("ja",), "no": ("JA",)}, "'ja' means both yes and no"),
        ("enum", {"values": ("a", "A"), "case": "ignore"}, "lists a value twice"),
        ("date", {"formats": ("%m/%d/%Y %H:%M",)}, "'%H' in the format"),
        ("date", {"formats": ("%d.%Y",)}, "lacks the month and day"),
        ("date", {"formats": ("%d.%m",)}, "lacks the year"),
        ("date", {"formats": ("%Y-%d-%m",)}, "mistaken for ISO 8601"),
        ("date", {"formats": ("epoch_s",)}, "lacks the year"),
        ("datetime", {"formats": ("%Y-%m-%d %H:%M %Z",)}, "'%Z' in the format"),
        ("datetime", {"formats": ("%Y-%m-%d %I:%M",)}, "lacks %p"),
        ("datetime", {"formats": ("%Y-%m-%d %H",)}, "lacks the minute"),
        ("datetime", {"formats": ("%Y-%d-%mT%H:%M:%S.%f%z",)}, "mistaken for ISO 8601"),
        ("time", {"formats": ("%H:%M %z",)}, "'%z' in the format"),
        ("time", {"formats": ("%M",)}, "lacks the hour"),
        ("time", {"formats": ("noon",)}, "lacks the hour"),
        ("datetime", {"zone": "Mars/Olympus"}, "zone 'Mars/Olympus' is not known"),
        ("datetime", {"zone": ""}, "is not known"),
        ("phone", {"region": "USA"}, "region 'USA' is not known"),
    ],
)
def test_types_refuse_attributes_that_make_no_sense(word, attributes, says):
    with pytest.raises(ValueError, match=says):
        TYPES[word](**attributes)


@pytest.mark.parametrize("word", ["after", "before"])
def test_bounds_must_be_dates(word):
    with pytest.raises(ValueError, match="ISO 8601"):
        CHECKS[word](value="yesterday")


def test_patterns_may_not_hold_comments():
    with pytest.raises(ValueError, match="flag x"):
        CHECKS["pattern"](value="(?ix)a # and more")


def test_templates_in_settings_are_not_judged_before_they_are_rendered():
    assert TYPES["phone"](region="{{ settings.region }}").region
    assert TYPES["datetime"](zone="{{ settings.zone }}").zone
