"""Expressions as functions find what jmespath's own interpreter finds, or raise what it raises.

The documents and expressions in cases/jmespath are the public compliance cases (data files of
jmespath.py, MIT licence).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jmespath.exceptions import JMESPathError

from crmmap.select.closures import closure

FILES = sorted((Path(__file__).parent / "cases" / "jmespath").glob("*.json"))


def outcome(search: Any, document: object) -> tuple[str, str]:
    """Return what a search finds, with the order of its entries, or what it raises."""
    try:
        return "found", json.dumps(search(document), default=repr)
    except (JMESPathError, TypeError, ValueError, ArithmeticError) as error:
        return type(error).__name__, str(error)


@pytest.mark.filterwarnings("ignore:deprecated string literal:PendingDeprecationWarning")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_compliance_cases(path: Path) -> None:
    compared = 0
    for suite in json.loads(path.read_text("utf-8")):
        for case in suite["cases"]:
            try:
                compiled = jmespath.compile(case["expression"])
            except (JMESPathError, ValueError):
                continue  # no tree, so nothing to make a function of
            found = outcome(closure(compiled.parsed), suite["given"])
            assert found == outcome(compiled.search, suite["given"]), case["expression"]
            compared += 1
    assert compared or path.stem == "syntax"


NAMES = st.sampled_from("abc")
documents = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-2, 2), st.floats(allow_nan=False, width=16),
        st.sampled_from(["", "a", "b", "1", "-0.5", "é"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=12,
)  # fmt: skip


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    one = [
        "{}.a", "{}[0]", "{}[-1]", "{}[*].b", "{}[]", "{}.*", "{}[1:]", "{}[::-1]", "!({})",
        "({}) | a", "length({})", "to_string({})", "to_number({})", "type({})", "sort({})",
        "max({})", "sum({})", "keys({})", "values({})", "not_null({})", "map(&a, {})",
        "sort_by({}, &b)", "reverse({})", "[{}, a]", "{{x: {}}}", "join(',', {})", "{}[?a]",
        "max_by({}, &a)", "to_array({})", "abs({})", "merge({})",
    ]  # fmt: skip
    two = [
        "({}) || ({})", "({}) && ({})", "({}) == ({})", "({}) < ({})", "({}) != ({})",
        "contains({}, {})", "starts_with({}, {})", "({})[?{}]", "[{}, {}]", "{{x: {}, y: {}}}",
    ]  # fmt: skip
    return st.one_of(
        st.builds(lambda form, a: form.format(a), st.sampled_from(one), inner),
        st.builds(lambda form, a, b: form.format(a, b), st.sampled_from(two), inner, inner),
    )


expressions = st.recursive(
    st.sampled_from(["a", "b", "@", "a.b", "a[*].b", "`1`", "'a'", "`[]`", "*", "a[]"]),
    _grown, max_leaves=5,
)  # fmt: skip


@given(expressions, documents)
def test_any_expression_over_any_document(text: str, document: object) -> None:
    try:
        compiled = jmespath.compile(text)
    except (JMESPathError, ValueError):
        return
    assert outcome(closure(compiled.parsed), document) == outcome(compiled.search, document)
