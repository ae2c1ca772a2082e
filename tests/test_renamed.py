"""What is remembered of a mapping outlives its renames, and is the same in every process."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from crmmap.errors import SettingError
from crmmap.plan import placeholder_settings, resolve_settings
from crmmap.plan.digests import said
from crmmap.spec.model import RequestSpec
from crmmap.template import Template
from invented import load, mapping, plan_of, table
from stores import store_url  # noqa: F401  (a fixture)
from test_increments import Api, note, notes, only, paged, serve  # noqa: F401  (a fixture)

BEFORE = """
crmmap: 1
name: renamed
settings: {{place: {{default: here}}, deep: {{default: "2"}}, key: {{env: KEY, secret: true}}}}
source: {{kind: http, base_url: "{url}", retry: {{attempts: 1}}}}
defaults: {{batch: 2}}
streams:
  notes:
    request: {{path: /notes, params: {{place: "{{{{ settings.place }}}}{{{{ settings.deep }}}}"}}}}
    records: items[]
    pagination: {{kind: token, token: next, param: from}}
    incremental: {{kind: timestamp, field: at, params: {{since: "{{{{ cursor }}}}"}}}}
    table: {{name: notes, key: id}}
    fields:
      id: id
      at: {{from: at, type: datetime}}
      boss: {{from: boss, lookup: {{stream: bosses, missing: wait}}}}
  bosses:
    request: {{path: /bosses}}
    table: {{name: bosses, key: id}}
    fields: {{id: id}}
"""


def after(text: str) -> str:
    return (
        text.replace("  notes:\n", "  remarks:\n    was: [memos, notes]\n")
        .replace("place: {default: here}", "site: {default: here, was: place}")
        .replace("settings.place", "settings.site")
    )


def test_what_waits_is_taken_over(store_url: str, serve: Callable[[Api], str]) -> None:
    records = [{**note(n, f"2024-01-0{n}T00:00:00.000Z"), "boss": "b"} for n in range(1, 4)]
    bosses: list[dict[str, str]] = []
    api = Api({"/notes": paged(records), "/bosses": lambda _query, _body: bosses})
    text = BEFORE.format(url=serve(api))
    report = load(plan_of(text, {"place": "here", "deep": "2", "key": "k"}), store_url)
    assert [each.waiting for each in report.streams if each.stream == "notes"] == [3]
    records.clear()
    bosses.append({"id": "b"})
    renamed = plan_of(after(text), {"site": "here", "deep": "2", "key": "k"})
    report = load(renamed, store_url)
    assert all(each.status == "done" for each in report.streams)
    assert len(table(store_url, "notes")) == 3


def test_only_a_rename_leaves_the_cursor_as_it_is(
    store_url: str, serve: Callable[[Api], str]
) -> None:
    api = Api({"/notes": paged([note(n, f"2024-01-0{n}T00:00:00.000Z") for n in range(1, 4)])})
    url = serve(api)
    only(load(plan_of(notes(url), {}), store_url))
    api.queries()
    renamed = notes(url).replace("  notes:\n", "  remarks:\n    was: notes\n")
    for _ in range(2):  # the second time there is nothing to take over any more
        only(load(plan_of(renamed, {}), store_url))
        assert [query["since"] for query in api.queries()] == ["2024-01-03T00:00:00.000Z"]


def test_settings_and_parents_that_a_request_names_may_be_renamed(
    store_url: str, serve: Callable[[Api], str]
) -> None:
    api = Api({
        "/notes": paged([note(n, f"2024-01-0{n}T00:00:00.000Z") for n in range(1, 4)]),
        "/bosses": lambda _query, _body: [{"id": "b"}],
    })  # fmt: skip
    text = BEFORE.format(url=serve(api)).replace(
        "    incremental:", "    for_each: {over: {boss: {stream: bosses}}}\n    incremental:"
    )
    load(plan_of(text, {"place": "here", "deep": "2", "key": "k"}), store_url)
    api.queries()
    renamed = (
        after(text)
        .replace("stream: bosses", "stream: chiefs")
        .replace("  bosses:\n", "  chiefs:\n    was: bosses\n")
    )
    load(plan_of(renamed, {"site": "here", "deep": "2", "key": "k"}), store_url)
    asked = [query["since"] for query in api.queries() if "place" in query]
    assert asked == ["2024-01-03T00:00:00.000Z"]


def test_a_rename_between_two_halves_of_a_read(store_url: str, serve: Callable[[Api], str]) -> None:
    api = Api({"/notes": paged([note(n, f"2024-01-0{n}T00:00:00.000Z") for n in range(1, 8)])})
    url, stop, gave = serve(api), threading.Event(), api.paths["/notes"]

    def stopping(query: dict[str, str], body: Any) -> object:
        if query.get("from") == "4":
            stop.set()
        return gave(query, body)

    api.paths["/notes"] = stopping
    assert load(plan_of(notes(url), {}), store_url, stop=stop).status == "interrupted"
    api.paths["/notes"] = gave
    renamed = notes(url).replace("  notes:\n", "  remarks:\n    was: notes\n")
    report = load(plan_of(renamed, {}), store_url)
    assert report.streams[0].resumed
    assert len(table(store_url, "notes")) == 7


def test_a_setting_is_taken_under_the_name_that_it_had() -> None:
    spec = mapping(after(BEFORE.format(url="https://notes.example")))
    values = resolve_settings(spec, {"KEY": "k"}, {"place": "there"})
    assert values["site"] == "there"
    assert resolve_settings(spec, {"KEY": "k"}, {"place": "there", "site": "new"})["site"] == "new"
    assert placeholder_settings(spec, {"place": "there"})["site"] == "there"
    with pytest.raises(SettingError, match="no setting 'plaice'"):
        resolve_settings(spec, {"KEY": "k"}, {"plaice": "there"})


def test_a_digest_is_the_same_in_every_process(tmp_path: Path) -> None:
    """Templates that name several settings once had another digest in every process."""
    names = [f"s{n}" for n in range(12)]
    asked = "".join(f"{{{{ settings.{name} }}}}" for name in names)
    settings = ", ".join(f"{name}: {{default: x}}" for name in names)
    file = tmp_path / "many.yaml"
    text = BEFORE.format(url="https://notes.example")
    text = text.replace("settings: {", f"settings: {{{settings}, ")
    file.write_text(text.replace("{{ settings.place }}", asked))
    code = (
        "import sys, pathlib; from crmmap.spec import read_file; from crmmap.plan import *\n"
        "m = read_file(pathlib.Path(sys.argv[1]))\n"
        "p = compile_plan(m, placeholder_settings(m, {}))\n"
        "print([(s.fingerprint, s.cursor_of) for s in p.steps])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code, file], check=True, capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(told) == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Longer:
    """A declared thing that has gained a word."""

    word: str = "a"
    gained: int = 3


def test_what_is_not_said_is_not_digested() -> None:
    request = RequestSpec(path=Template.parse("/notes"))
    assert said(request) == "RequestSpec(path=Template:'/notes')"
    assert said(replace(request, method="POST")) != said(request)
    assert said(Longer(word="b")) == "Longer(word='b')"
    assert said(Longer(gained=4)) == "Longer(gained=4)"
