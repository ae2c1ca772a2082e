"""Problems of mappings, for people and for the programs that review changes.

text    `file:line:column: path: what is wrong. what is allowed`, one per line
json    one object: `status` and the list of `problems`
sarif   SARIF 2.1.0, which code hosts show beside the changed lines
github  workflow commands, which GitHub Actions shows the same way
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from urllib.parse import quote

from crmmap.report.wording import printable
from crmmap.values import Problem

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def problem_report(problems: Sequence[Problem], *, format_: str, version: str) -> str:
    """Return the problems in one of `FORMATS`; `version` is crmmap's own.

    Text and GitHub's commands are empty where there is no problem; the others never are.
    """
    return FORMATS[format_](problems, version)


def _text(problems: Sequence[Problem], _: str) -> str:
    return "".join(f"{_one_line(str(problem))}\n" for problem in problems)


def _one_line(text: str) -> str:
    return printable(text).replace("\n", " ")


def _json(problems: Sequence[Problem], _: str) -> str:
    status = "problems" if problems else "ok"
    return _written({"status": status, "problems": [_document(each) for each in problems]})


def _document(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "path": list(problem.path),
        "rule": problem.rule,
        "message": problem.message,
    }


def _written(document: Mapping[str, object]) -> str:
    return json.dumps(document, indent=2) + "\n"


# --- SARIF ----------------------------------------------------------------------------------------


def _sarif(problems: Sequence[Problem], version: str) -> str:
    rules = sorted({each.rule for each in problems})
    driver = {"name": "crmmap", "version": version, "rules": [{"id": rule} for rule in rules]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(each, rules.index(each.rule)) for each in problems],
    }
    return _written({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]})


def _result(problem: Problem, rule_index: int) -> dict[str, object]:
    region = {"startLine": problem.line, "startColumn": problem.column}
    location: dict[str, object] = {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(problem.file)},
            "region": region,
        }
    }
    if problem.path:
        location["logicalLocations"] = [{"fullyQualifiedName": _dotted(problem)}]
    return {
        "ruleId": problem.rule,
        "ruleIndex": rule_index,
        "level": "error",
        "message": {"text": _told(problem)},
        "locations": [location],
    }


def _dotted(problem: Problem) -> str:
    return ".".join(str(part) for part in problem.path)


def _told(problem: Problem) -> str:
    return f"{_dotted(problem)}: {problem.message}" if problem.path else problem.message


def _uri(file: str) -> str:
    path = PurePath(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


# --- GitHub ---------------------------------------------------------------------------------------


def _github(problems: Sequence[Problem], _: str) -> str:
    return "".join(f"{_command(each)}\n" for each in problems)


def _command(problem: Problem) -> str:
    properties = {
        "file": problem.file,
        "line": str(problem.line),
        "col": str(problem.column),
        "title": f"crmmap: {problem.rule}",
    }
    written = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::error {written}::{_escaped(_told(problem))}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


FORMATS: dict[str, Callable[[Sequence[Problem], str], str]] = {
    "text": _text,
    "json": _json,
    "sarif": _sarif,
    "github": _github,
}
