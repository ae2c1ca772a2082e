"""A way to authenticate that a setting chooses: the others' settings are not asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import crmmap, write
from crmmap.errors import ExitCode, SettingError
from crmmap.kinds.auth import Bearer
from crmmap.kinds.oauth2 import OAuth2
from crmmap.kinds.source import Http
from crmmap.mock import mocked
from crmmap.plan import Plan, compile_plan, resolve_settings
from crmmap.spec.read import read_mapping
from invented import load, sqlite

MAPPING = """
crmmap: 1
name: club
settings:
  url: {env: CLUB_URL, default: "https://api.club.example"}
  auth: {env: CLUB_AUTH, default: token}
  token: {env: CLUB_TOKEN, secret: true}
  client_id: {env: CLUB_CLIENT}
  client_secret: {env: CLUB_SECRET, secret: true}
  region: {env: CLUB_REGION}
source:
  kind: http
  base_url: "{{ settings.url }}"
  auth:
    kind: choice
    by: "{{ settings.auth }}"
    of:
      token: {kind: bearer, token: "{{ settings.token }}"}
      oauth:
        kind: oauth2
        grant: client_credentials
        token_url: "{{ settings.url }}/token"
        client_id: "{{ settings.client_id }}"
        client_secret: "{{ settings.client_secret }}"
        params: {region: "{{ settings.region }}"}
streams:
  members:
    request: {path: /members, params: {region: "{{ settings.region }}"}}
    records: items[]
    table: {name: members, key: id}
    fields: {id: id, name: {from: name}}
"""
NO_DEFAULT = MAPPING.replace("{env: CLUB_AUTH, default: token}", "{env: CLUB_AUTH}")


def plan(text: str = MAPPING, **given: str) -> Plan:
    mapping = read_mapping(text.encode(), "club.yaml")
    return compile_plan(mapping, resolve_settings(mapping, {}, given))


def auth(planned: Plan) -> object:
    source = planned.sources["source"]
    assert isinstance(source, Http)
    return source.auth


def test_only_the_settings_of_the_chosen_way_are_needed() -> None:
    assert isinstance(auth(plan(token="t", region="eu")), Bearer)
    found = auth(plan(auth="oauth", client_id="i", client_secret="s", region="eu"))
    assert isinstance(found, OAuth2)
    assert found.params == {"region": "eu"}


@pytest.mark.parametrize(
    ("text", "given", "missing", "spared"),
    [
        (MAPPING, {}, ["token", "region"], ["client_id", "client_secret"]),
        (MAPPING, {"auth": "oauth"}, ["client_id", "client_secret", "region"], ["token"]),
        (NO_DEFAULT, {"region": "eu"}, ["auth"], ["token", "client_id", "client_secret"]),
    ],
    ids=["token", "oauth", "nothing chosen"],
)
def test_what_is_missing_is_told_without_the_rest(
    text: str, given: dict[str, str], missing: list[str], spared: list[str]
) -> None:
    with pytest.raises(SettingError) as caught:
        plan(text, **given)
    told = [line.strip().partition(":")[0] for line in str(caught.value).splitlines()]
    assert set(missing) <= set(told)
    assert not set(spared) & set(told)


def test_a_way_that_is_not_there() -> None:
    with pytest.raises(SettingError) as caught:
        plan(auth="oath", token="t", region="eu")
    assert str(caught.value) == (
        "setting auth: 'oath' is no way to authenticate. Write 'token' or 'oauth'"
    )


@pytest.mark.parametrize("way", ["token", "oauth"])
def test_each_way_is_pretended(tmp_path: Path, way: str) -> None:
    mapping = read_mapping(NO_DEFAULT.encode(), "club.yaml")
    with mocked(mapping, {"auth": way}, records=9, faults=0.5) as pretended:
        assert isinstance(auth(pretended), Bearer) == (way == "token")
        report = load(pretended, sqlite(tmp_path))
    assert report.exit_code == ExitCode.OK
    assert report.counts.inserted == 9


def test_nothing_need_be_chosen_for_a_mock_or_a_plan(tmp_path: Path) -> None:
    write(tmp_path, club_yaml=NO_DEFAULT)
    ran = crmmap(tmp_path, "run", "club.yaml", "--mock", "--json")
    assert ran.code == ExitCode.OK, ran.err
    ran = crmmap(tmp_path, "plan", "club.yaml", "--json")
    assert ran.code == ExitCode.OK, ran.err
    assert "bearer" in ran.out
