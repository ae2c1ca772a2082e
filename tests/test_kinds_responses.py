"""Rules for answers: every action by its case file, and which answers a rule fits."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import yaml

from crmmap.errors import MappingError
from crmmap.extract.decode import decode_json
from crmmap.kinds.actions import ACTIONS, Skip
from crmmap.kinds.responses import ResponseRule
from crmmap.kinds.verdicts import Answered
from crmmap.select.jmespath import compile_expression
from crmmap.spec import read_mapping
from crmmap.values import Response
from test_kinds import cases
from test_kinds_sources import CANARY, RESPONSE, asked

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


EXPRESSIONS = {("succeed", "rejects"), ("wait", "body")}


def action(word, attributes):
    made = {
        name: compile_expression(value) if (word, name) in EXPRESSIONS
        else tuple(value) if isinstance(value, list) else value
        for name, value in attributes.items()
    }  # fmt: skip
    return ACTIONS[word](**made)


def answered(parts) -> Response:
    text = parts["text"] if "text" in parts else json.dumps(parts.get("body"))
    return replace(
        RESPONSE, status=parts.get("status", 200), headers=parts.get("headers", {}),
        body=text.encode(),
    )  # fmt: skip


def document_of(parts) -> object:
    return None if "text" in parts else decode_json(answered(parts)).value


@pytest.mark.parametrize(("word", "case"), [*cases("actions")])
def test_action(word, case):
    if "refuses" in case:
        with pytest.raises(ValueError, match=case["refuses"]):
            action(word, case["with"])
        return
    parts = case.get("answer", {})
    seen = Answered(response=answered(parts), document=document_of(parts), now=NOW)
    verdict = action(word, case.get("with", {})).decide(asked(case.get("request", {})), seen)
    assert type(verdict).__name__.lower() == case["verdict"]
    if "refused" in case:
        assert list(verdict.refused) == case["refused"]
    if "seconds" in case:
        assert verdict.seconds == case["seconds"]
    if "request_after" in case:
        assert verdict.request == asked(case["request_after"])
    if "message" in case:
        assert case["message"] in verdict.message
        assert CANARY not in verdict.message


@pytest.mark.parametrize(
    ("conditions", "answer", "fits"),
    [
        ({"status": (403,)}, {"status": 403}, True),
        ({"status": (403, 404)}, {"status": 404}, True),
        ({"status": (403,)}, {"status": 200}, False),
        ({"headers": {"X-Why": "quota"}}, {"headers": {"x-why": "Daily Quota"}}, True),
        ({"headers": {"X-Why": ""}}, {"headers": {"x-why": "anything"}}, True),
        ({"headers": {"X-Why": ""}}, {}, False),
        ({"headers": {"X-Why": "quota"}}, {"headers": {"x-why": "burst"}}, False),
        ({"body": "error"}, {"body": {"error": {"code": 7}}}, True),
        ({"body": "error"}, {"body": {"error": 0}}, True),
        ({"body": "error.code == 'busy'"}, {"body": {"error": {"code": "busy"}}}, True),
        ({"body": "error.code == 'busy'"}, {"body": {"error": {"code": "off"}}}, False),
        ({"body": "error"}, {"body": {"rows": []}}, False),
        *(({"body": "error"}, {"body": {"error": e}}, False) for e in (None, False, "", [], {})),
        ({"body": "error"}, {"text": "<html>"}, False),
        ({"body": "error"}, {"text": ""}, False),
        # A question that the body can't be asked has no answer.
        ({"body": "contains(message, 'x')"}, {"body": {"message": 7}}, False),
        ({"body": "contains(message, 'x')"}, {"body": [1]}, False),
        ({"status": (400,), "body": "error"}, {"status": 200, "body": {"error": 1}}, False),
        ({"status": (400,), "headers": {"A": "1"}}, {"status": 400, "headers": {"a": "2"}}, False),
    ],
)
def test_a_rule_fits_where_all_its_conditions_hold(conditions, answer, fits):
    made = {**conditions, "then": Skip()}
    if "body" in made:
        made["body"] = compile_expression(made["body"])
    rule = ResponseRule(**made)
    assert rule.fits(answered(answer), lambda: document_of(answer)) is fits


def test_a_rule_that_would_fit_every_answer_is_refused():
    with pytest.raises(ValueError, match="would fit every answer"):
        ResponseRule(then=Skip())


def problems_of(**parts) -> list[str]:
    stream = {
        "request": {"path": "/people", "params": {"limit": "100"}},
        "table": {"name": "people", "key": "id"},
        "fields": {"id": "Id"},
        **parts.get("stream", {}),
    }
    source = {"kind": "http", "base_url": "https://api.example", **parts.get("source", {})}
    mapping = {"crmmap": 1, "name": "demo", "source": source, "streams": {"people": stream}}
    try:
        read_mapping(yaml.safe_dump(mapping).encode(), "mapping.yaml")
    except MappingError as error:
        return [f"{'.'.join(map(str, each.path))} {each.rule}" for each in error.problems]
    return []


HALVE_BODY = {"status": 500, "then": {"kind": "halve", "body": "page.limit"}}
POST = {"path": "/people", "method": "POST", "body": {"page": {"limit": 100}}}
HALVE = {"status": 500, "then": {"kind": "halve", "param": "limit"}}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"source": {"responses": [{"status": 403, "then": "skip"}]}}, []),
        ({"source": {"responses": [{"then": "skip"}]}}, ["source.responses.0 value"]),
        ({"source": {"responses": [{"status": 99, "then": "skip"}]}},
         ["source.responses.0.status minimum"]),
        ({"source": {"responses": [{"status": 403, "then": "ignore"}]}},
         ["source.responses.0.then anyOf"]),
        ({"source": {"responses": [{"status": 403, "then": "refresh"}]}},
         ["source.responses.0.then responses.refresh"]),
        ({"source": {"responses": [{"status": 403, "then": "skip"},
                                   {"status": [403], "then": "retry"}]}},
         ["source.responses.1 responses.twice"]),
        ({"stream": {"responses": [HALVE]}}, []),
        ({"source": {"responses": [HALVE]}}, []),
        ({"stream": {"responses": [{"status": 500, "then": {"kind": "halve", "param": "size"}}]}},
         ["streams.people.responses.0.then responses.halve"]),
        ({"stream": {"responses": [HALVE_BODY]}},
         ["streams.people.responses.0.then responses.halve"]),
        ({"stream": {"responses": [HALVE_BODY], "request": POST}}, []),
        ({"stream": {"responses": [HALVE], "pagination": {"kind": "page", "param": "page"}}},
         ["streams.people.responses.0.then responses.halve"]),
        ({"stream": {"responses": [{"status": 1, "body": "a..b", "then": "skip"}]}},
         ["streams.people.responses.0.body expression",
          "streams.people.responses.0.status minimum"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_rules_is_told_before_anything_is_asked(parts, expected):
    assert problems_of(**parts) == expected
