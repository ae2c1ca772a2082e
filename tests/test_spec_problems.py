"""Diagnostics are a feature: every bad mapping in the case files gives exactly these lines."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from crmmap.errors import MappingError
from crmmap.spec.read import read_mapping

CASES = sorted((Path(__file__).parent / "cases" / "problems").glob("*.yaml"))


def problems(mapping: str) -> str:
    with pytest.raises(MappingError) as caught:
        read_mapping(mapping.encode(), "mapping.yaml")
    return str(caught.value)


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_the_problems_of(file):
    case = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert problems(case["mapping"]) == case["problems"].rstrip("\n")


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_no_message_shows_a_pasted_secret_of(file):
    """Whatever stands where a secret could be is not repeated."""
    case = yaml.safe_load(file.read_text(encoding="utf-8"))
    for secret in ("pat-na1-0000", "letmein", "me:pass", "12345", "key=1"):
        assert secret not in case["problems"]


def test_there_are_enough_of_them():
    assert len(CASES) >= 30
