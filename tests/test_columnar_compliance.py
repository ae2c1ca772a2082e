"""The compliance cases of JMESPath on the compiled path: equal to the exact path, or declined."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from both_paths import Compared, Unfit, cell, compared
from crmmap.select.jmespath import compile_expression

FILES = sorted((Path(__file__).parent / "cases" / "jmespath").glob("*.json"))
KINDS = frozenset({"string", "number", "boolean"})
COMPILED = {
    "basic": "14 of 18", "benchmarks": "14 of 16", "boolean": "46 of 60", "current": "2 of 3",
    "escape": "8 of 8", "filters": "38 of 88", "functions": "114 of 174",
    "identifiers": "125 of 125", "indices": "50 of 59", "literal": "40 of 40",
    "multiselect": "43 of 53", "pipe": "11 of 17", "slice": "33 of 38", "syntax": "25 of 35",
    "unicode": "4 of 4", "wildcard": "38 of 65",
}  # fmt: skip
"""How many cases of each family are compiled. The others have a document that is no object, or
several kinds of values at one place, or they do what columns can't: a failing test says what."""


def outcomes(path: Path) -> Counter[str]:
    """Return how often each outcome was: `compiled`, or why it was not."""
    counted: Counter[str] = Counter()
    for suite in json.loads(path.read_text("utf-8"), parse_float=Decimal):
        for case in suite["cases"]:
            try:
                compile_expression(case["expression"])
            except ValueError:
                continue
            counted[_outcome(case["expression"], suite["given"])] += 1
    return counted


def _outcome(text: str, document: object) -> str:
    if not isinstance(document, dict):
        return "the document is no object"
    try:
        several = compared([cell(text, accepts=KINDS)], [document])
    except Unfit:
        return "a place has several kinds"
    for answers in several:
        if not isinstance(answers, Compared):
            return answers
        assert not answers.differ, (text, answers)
        if None in answers.compiled:
            return "only the exact path can decide"
    return "compiled"


@pytest.mark.filterwarnings("ignore:deprecated string literal:PendingDeprecationWarning")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_compliance_cases_on_the_compiled_path(path: Path) -> None:
    counted = outcomes(path)
    share = f"{counted['compiled']} of {counted.total()}"
    assert share == COMPILED[path.stem], counted
