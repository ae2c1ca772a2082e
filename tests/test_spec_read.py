"""From bytes to a mapping: what YAML means here, and what is refused."""

from __future__ import annotations

import json
import os
import time
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmmap.errors import ExitCode, MappingError
from crmmap.kinds.auth import Bearer
from crmmap.kinds.checks import Min
from crmmap.kinds.clean import EmptyToNull, NullIf, Replace, Trim
from crmmap.kinds.pagination import Token
from crmmap.kinds.types import Decimal, Text
from crmmap.spec.document import read_document
from crmmap.spec.duplicates import Latest
from crmmap.spec.lint_patterns import weight
from crmmap.spec.model import Lookup
from crmmap.spec.nodes import Unreadable
from crmmap.spec.read import read_file, read_mapping
from crmmap.values import Secret

SMALL = """\
crmmap: 1
name: demo
source: files
streams:
  people:
    file: people.csv
    table: {name: people, key: id}
    fields: {id: Id}
"""

LARGE = """\
crmmap: 1
name: demo
settings:
  token: {env: DEMO_TOKEN, secret: true}
  region: {default: US}
source:
  kind: http
  base_url: https://api.example.com/v1
  auth: {kind: bearer, token: "{{ settings.token }}"}
streams:
  people:
    request: {path: /people, params: {fields: "{{ selected('properties') | join(',') }}"}}
    records: results[]
    pagination: {kind: token, token: paging.next.after, param: after}
    table: {name: people, key: [id, kind]}
    dedupe: {keep: {latest: updated}}
    where: {kind: {one_of: [a, b]}}
    fields:
      id: id
      kind: {from: kind}
      updated: {from: [updatedAt, createdAt]}
      amount:
        from: amount
        type: decimal(14,2)
        clean: [trim, {null_if: n/a}, {replace: {find: x, with: y}}]
        check: {min: 0.5}
      boss: {from: boss, lookup: bosses}
  bosses:
    request: {path: /bosses}
    table: {name: bosses, key: id}
    fields: {id: id}
"""


def read(text):
    return read_mapping(text.encode() if isinstance(text, str) else text, "mapping.yaml")


def problems(text):
    with pytest.raises(MappingError) as caught:
        read(text)
    return [(each.line, each.column, each.rule) for each in caught.value.problems]


def read_or_explained(text):
    """Return the problems of a text, or none; anything but a MappingError passes through."""
    try:
        read(text)
    except MappingError as error:
        return error.problems
    return ()


def test_a_small_mapping_has_its_defaults():
    mapping = read(SMALL)
    people = mapping.streams["people"]
    assert people.table.key == ("id",)
    assert people.fields["id"].from_ == ("Id",)
    assert people.fields["id"].type == Text()
    assert mapping.defaults.clean == (Trim(), EmptyToNull())
    with pytest.raises(FrozenInstanceError):
        mapping.name = "other"


def test_every_shape_is_built():
    mapping = read(LARGE)
    assert mapping.source.auth == Bearer(token=Secret("{{ settings.token }}"))
    people = mapping.streams["people"]
    assert people.request.path.render({}) == "/people"
    assert people.request.params["fields"].names == frozenset()
    assert isinstance(people.pagination, Token)
    assert people.pagination.token.find({"paging": {"next": {"after": "7"}}}) == "7"
    assert people.table.key == ("id", "kind")
    assert people.dedupe.keep == Latest(latest="updated")
    assert people.where["kind"][0].value == ("a", "b")
    assert people.fields["updated"].from_ == ("updatedAt", "createdAt")
    amount = people.fields["amount"]
    assert amount.type == Decimal(precision=14, scale=2)
    assert amount.clean == (Trim(), NullIf(value=("n/a",)), Replace(find="x", with_="y"))
    assert amount.check == (Min(value=0.5),)
    assert people.fields["boss"].lookup == Lookup(stream="bosses", missing="null", none=())


def test_a_secret_is_wrapped_from_the_start():
    assert "settings.token" not in repr(read(LARGE))


def test_reading_twice_gives_equal_mappings():
    assert read(SMALL) == read(SMALL)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("NO", "NO"), ("on", "on"), ("yes", "yes"), ("true", True), ("False", False),
        ("null", None), ("~", None), ("", None), ("7", 7), ("-7", -7), ("+7", 7), ("0", 0),
        ("01234", "01234"), ("0x1F", "0x1F"), ("1_000", "1_000"), ("12:30:45", "12:30:45"),
        ("1:1:1", "1:1:1"), ("2024-01-01", "2024-01-01"), (".inf", ".inf"), (".nan", ".nan"),
        ("1.50", 1.5), ("1e3", 1000.0), ("1e999", "1e999"), ("1.", "1."), ("'7'", "7"),
        ('"true"', "true"), ("!!str 7", "7"), ("! 7", "7"), ("=", "="),
        ("999999999999999999", 10**18 - 1),
    ],
)  # fmt: skip
def test_scalars_are_those_of_the_core_schema(written, meant):
    value = read_document(f"a: {written}\n".encode()).value["a"]
    assert (value, type(value)) == (meant, type(meant))


@pytest.mark.parametrize("before", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_byte_order_mark_and_line_ends_make_no_difference(before, end):
    text = before + SMALL.replace("\n", end)
    assert read(text) == read(SMALL)
    assert problems(text.replace("name: demo", "name: 1"))[0] == (2, 7, "type")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SMALL.encode("utf-16"), (1, 1, "yaml.encoding")),
        (SMALL.replace("demo", "dém").encode("latin-1"), (2, 8, "yaml.encoding")),
        (SMALL.replace("demo", "de\0mo").encode(), (2, 9, "yaml.character")),
        (SMALL.replace("demo", "de\x1bmo").encode(), (2, 9, "yaml.character")),
        (SMALL.replace("demo", '"de\\0mo"').encode(), (2, 7, "yaml.character")),
        (SMALL.replace("demo", '"\\ud83d"').encode(), (2, 7, "yaml.character")),
        (SMALL.replace("demo", '"\\U00110000"').encode(), (2, 10, "yaml.syntax")),
        (SMALL.replace("demo", '"demo\\n"').encode(), (2, 7, "pattern")),
        (b"", (1, 1, "yaml.empty")),
        (b"\xef\xbb\xbf", (1, 1, "yaml.empty")),
        (b"a" * (1024 * 1024 + 1), (1, 1, "yaml.size")),
        (b"[" * 5000, (1, 41, "yaml.depth")),
        (b"? " * 5000, (1, 81, "yaml.depth")),
        (b"a: [" + b"x," * 60_000 + b"]", (1, 99_999, "yaml.nodes")),
        (b"a: &a 1\nb: [" + b"*a," * 600 + b"]", (2, 1505, "yaml.aliases")),
        (b"%YAML " + b"9" * 5000 + b".1\n---\na: 1\n", (1, 7, "yaml.syntax")),
    ],
)
def test_what_no_mapping_may_be_made_of(text, expected):
    assert problems(text) == [expected]


def test_aliases_are_counted_by_what_they_stand_for():
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 6))
    assert problems("l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n" + levels)[0][2] == "yaml.nodes"


def test_a_depth_made_of_aliases_is_a_depth():
    deep = "a: &a " + "[" * 20 + "]" * 20 + "\nb: " + "[" * 25 + "*a" + "]" * 25 + "\n"
    assert problems(deep) == [(2, 29, "yaml.depth")]


def test_a_modest_alias_is_fine():
    text = SMALL.replace("{id: Id}", "{id: &id {from: Id}, name: *id}")
    people = read(text).streams["people"]
    assert people.fields["name"] == people.fields["id"]


def test_problems_stand_in_the_order_of_the_file_and_carry_everything():
    with pytest.raises(MappingError) as caught:
        read(SMALL.replace("demo", "de mo").replace("key: id", "key: ident"))
    first, second = caught.value.problems
    assert caught.value.exit_code is ExitCode.USAGE
    assert (first.line, second.line) == (2, 7)
    assert second.path == ("streams", "people", "table", "key")
    assert str(second).startswith("mapping.yaml:7:32: streams.people.table.key: ")


def test_a_fault_does_not_call_up_others_below_it():
    """A field whose type is unknown is not judged as if it were text."""
    text = SMALL.replace("{id: Id}", "{id: {from: Id, type: {kind: nope}, check: {min: 1}}}")
    assert [rule for _, _, rule in problems(text)] == ["enum"]


def test_a_file_is_read(tmp_path):
    file = tmp_path / "demo.yaml"
    file.write_text(SMALL)
    assert read_file(file) == read(SMALL)


@pytest.mark.parametrize("name", ["missing.yaml", ".", "loop.yaml", "nul\0.yaml", "x" * 300])
def test_a_file_that_cannot_be_read_is_one_problem(tmp_path, name):
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    with pytest.raises(MappingError) as caught:
        read_file(tmp_path / name)
    (problem,) = caught.value.problems
    assert problem.rule == "file"


def test_a_fifo_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(MappingError, match="is not a regular file"):
        read_file(tmp_path / "pipe.yaml")


@pytest.mark.parametrize("written", ["null", "~", '"null"'])
def test_null_is_a_word_where_it_may_be_chosen(written):
    text = (
        SMALL
        + f"""\
  offices:
    file: offices.csv
    table: {{name: offices, key: id}}
    fields: {{id: Id, head: {{from: H, lookup: {{stream: people, missing: {written}}}}}}}
"""
    )
    lookup = read(text).streams["offices"].fields["head"].lookup
    assert lookup == Lookup(stream="people", missing="null", none=())


def test_a_port_may_come_from_a_setting():
    text = LARGE.replace("example.com/v1", "example.com:{{ settings.region }}/v1")
    assert read(text).source.base_url == "https://api.example.com:{{ settings.region }}/v1"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_one_problem(tmp_path):
    file = tmp_path / "demo.yaml"
    file.write_text(SMALL)
    file.chmod(0)
    with pytest.raises(MappingError, match="may not be read"):
        read_file(file)


def test_a_large_file_is_not_read_whole(tmp_path):
    file = tmp_path / "large.yaml"
    with file.open("wb") as handle:
        handle.truncate(10 * 1024**3)  # a hole: nothing is stored
    with pytest.raises(MappingError, match="larger than 1 MiB"):
        read_file(file)


FIELDS = LARGE.split("  bosses:", maxsplit=1)[0]
PARAMS = LARGE.split(", params:", maxsplit=1)[0] + ", params: {\n"
BOMBS = {
    "fields": (FIELDS, "      f{0}: {{from: p{0}, type: integer, default: '1'}}\n", 6_000),
    "patterns": (FIELDS, "      f{0}: {{from: p, check: {{pattern: '\\w{{99}}{0}'}}}}\n", 6_000),
    "unknown words": (SMALL, "word{0}: 1\n", 20_000),
    "templates": (PARAMS, "      p{0}: '{{{{ settings.region }}}}{0}',\n", 20_000),
    "lookups": (FIELDS, "      f{0}: {{from: a, lookup: bosss{0}}}\n", 8_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_no_large_mapping_takes_long(name):
    """Measured at about 4 s at worst on two slow cores; the limit leaves room for slower ones."""
    head, line, count = BOMBS[name]
    began = time.process_time()
    with pytest.raises(MappingError):
        read(head + "".join(line.format(number) for number in range(count)))
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    "template",
    [
        "{{ " + "(" * 8000 + " }}",
        "{{ " + "not " * 2000 + "1 }}",
        "{{ " + "1+" * 4000 + "1 }}",
        "{{ 1" + " | trim" * 1000 + " }}",
        "{{ 'a'" + " | replace('a', 'aaaaaaaaaa')" * 12 + " }}",
        "{{ 'a'" + " | join('aaaaaaaaaa')" * 12 + " }}",
        "{{ 'a' * 10**10 }}",
        "{{ " * 3000,
    ],
)
def test_a_template_that_would_exhaust_the_machine_is_a_problem(template):
    found = problems(SMALL.replace("file: people.csv", f'file: "{template}"'))
    assert found[0][:2] == (6, 11)


def test_a_pattern_weighs_what_it_repeats():
    assert weight("abc") - weight("") == 3
    assert weight("(ab){10}c") - weight("") == 21
    assert weight("((a{10}){10}){10}") - weight("") == 1000
    assert weight(r"\w{3,20}") > weight(r"\w{3}") > weight(r"\.{3}")
    assert weight("){3}({") > 0


WORDS = st.sampled_from(
    ["crmmap", "name", "source", "http", "files", "kind", "streams", "people", "fields", "from",
     "type", "decimal(4,2)", "clean", "trim", "check", "min", "table", "key", "request", "path",
     "{{ settings.x }}", "auth", "bearer", "token", "1", "true", "~", "<<", "*a", "&a", "!!set",
     "lookup", "settings", "default", "where", "pattern", "(", "id", "Id", "base_url"]
)  # fmt: skip
YAMLISH = st.lists(
    st.one_of(WORDS, st.sampled_from([": ", "\n", "\n  ", "\n    ", ", ", *"[]{}", "- "]),
              st.text(max_size=3)),
    max_size=60,
).map("".join)  # fmt: skip


@given(st.one_of(st.binary(max_size=200), YAMLISH.map(lambda text: text.encode(errors="ignore"))))
@settings(max_examples=200, deadline=2000)
def test_anything_else_is_a_mapping_error(text):
    assert all(each.line >= 1 and each.column >= 1 for each in read_or_explained(text))


JSONISH = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(WORDS, st.text(max_size=4)), inner, max_size=4),
    ),
    max_leaves=12,
)


def places(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    for key, each in inner:
        yield from places(each, (*path, key))


@given(st.data())
@settings(max_examples=200, deadline=2000)
def test_a_good_mapping_with_one_part_replaced_is_read_or_explained(data):
    """Whatever stands in the wrong place, nothing but a MappingError comes out."""
    document = read_document(LARGE.encode()).value
    path = data.draw(st.sampled_from(list(places(document))[1:]))
    parent = document
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = data.draw(JSONISH)
    for problem in read_or_explained(json.dumps(document)):
        assert problem.message
        assert problem.column >= 1


@given(JSONISH)
@settings(max_examples=100, deadline=2000)
def test_json_is_yaml_and_keeps_its_values(value):
    """Plain JSON reads as itself, but for what the core schema and the limits leave out."""
    text = json.dumps({"a": value})
    try:
        document = read_document(text.encode())
    except Unreadable:
        return
    if not document.faults and "Infinity" not in text and "NaN" not in text:
        assert repr(document.value) == repr(json.loads(text)) or any(
            len(word) > 18 for word in text.split()
        )
