"""Templates: what they may say, and what they give."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmmap.moments import FILTERS, moment
from crmmap.template import Template, TemplateError


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' * 10 ** 10 }}",  # jinja2 would compute it while compiling
        "{{ 2 ** 99 }}", "{{ 7 % 2 }}", "{% for x in y %}{{ x }}{% endfor %}",
        "{% set x = 1 %}", "{% include 'x' %}", "{% macro f() %}{% endmacro %}",
        "{{ ''.__class__ }}{{ f() }}", "{{ x | tojson }}", "{{ x is callable }}", "{{ unclosed",
    ],
)  # fmt: skip
def test_what_could_harm_is_refused_before_it_is_compiled(text: str) -> None:
    with pytest.raises(TemplateError):
        Template.parse(text)


def test_a_refusal_does_not_quote_the_text() -> None:
    with pytest.raises(TemplateError) as caught:
        Template.parse("{{ pat-na1-secret }} {{ oops")
    assert "secret" not in str(caught.value)


def test_settings_that_are_read_are_known() -> None:
    template = Template.parse("{{ settings.a }}/{{ settings['b'] }}/{{ other.c }}")
    assert template.settings == {"a", "b"}
    assert template.names == {"settings", "other"}


def test_no_name_stands_for_what_is_jinjas_own() -> None:
    assert Template.parse("{{ self }}").names == {"self"}


@pytest.mark.parametrize(
    ("text", "given"),
    [("x", "x"), ("{{ settings.a }}-{{ settings.items }}", "1-2"), ("{{ settings.a ~ 'z' }}", "1z"),
     ("{{ selected('properties') | join(',') }}", "p,q")],
)  # fmt: skip
def test_rendering_gives_text(text: str, given: str) -> None:
    template = Template.parse(text, functions=("selected",))
    functions = {"selected": lambda name: ("p", "q") if name == "properties" else ()}
    assert template.render({"settings": {"a": 1, "items": 2}}, functions) == given


@pytest.mark.parametrize("text", ["{{ settings.missing }}", "{{ settings.null }}", "{{ nobody }}"])
def test_a_missing_or_null_value_is_an_error(text: str) -> None:
    with pytest.raises(TemplateError):
        Template.parse(text).render({"settings": {"null": None}})


MOMENT = "2024-03-10T07:08:09.123456Z"


@pytest.mark.parametrize(
    ("filter_", "given"),
    [
        ("epoch", "1710054489"), ("epoch_ms", "1710054489123"),
        ("iso", "2024-03-10T07:08:09.123Z"), ("iso('seconds')", "2024-03-10T07:08:09Z"),
        ("iso('microseconds', 'America/New_York')", "2024-03-10T03:08:09.123456-04:00"),
        ("date", "2024-03-10"), ("date('America/Los_Angeles')", "2024-03-09"),
        ("sql", "2024-03-10 07:08:09"), ("sql('Asia/Kolkata')", "2024-03-10 12:38:09"),
        ("rfc2822", "Sun, 10 Mar 2024 07:08:09 +0000"),
        ("http_date", "Sun, 10 Mar 2024 07:08:09 GMT"),
        ("odata", "datetime'2024-03-10T07:08:09'"),
        ("format('%Y-%m-%dT%H:%M:%S')", "2024-03-10T07:08:09"),
        ("format('%d %b %y, %a, %j, %I:%M %p, %f %L %z %%', 'America/New_York')",
         "10 Mar 24, Sun, 070, 03:08 AM, 123456 123 -0400 %"),
    ],
)  # fmt: skip
def test_a_moment_is_written_as_the_source_wants_it(filter_: str, given: str) -> None:
    assert Template.parse(f"{{{{ cursor | {filter_} }}}}").render({"cursor": MOMENT}) == given


def test_a_day_before_1970_is_rounded_down_too() -> None:
    given = {"at": "1969-12-31T23:59:59.999900Z"}
    assert Template.parse("{{ at | epoch }} {{ at | epoch_ms }}").render(given) == "-1 -1"


@given(when=st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_exactly_is_read_back(when: datetime) -> None:
    text = Template.parse("{{ at | iso('microseconds') }}").render({"at": when.isoformat()})
    assert moment(text) == when


@pytest.mark.parametrize("value", ["soon", "", 5, None, "9999-12-31T23:59:59-23:00", "1" * 5000])
@pytest.mark.parametrize("name", sorted(FILTERS))
def test_what_is_no_moment_is_an_error_that_does_not_quote_it(name: str, value: object) -> None:
    argument = "('%Y')" if name == "format" else ""
    template = Template.parse(f"{{{{ value | {name}{argument} }}}}")
    with pytest.raises(TemplateError) as caught:
        template.render({"value": value})
    assert "soon" not in str(caught.value)


@pytest.mark.parametrize("argument", ["%Q", "%", "%Y" * 200])
def test_a_pattern_that_comes_with_a_value_is_judged_when_it_is_used(argument: str) -> None:
    template = Template.parse("{{ at | format(pattern) }}")
    with pytest.raises(TemplateError):
        template.render({"at": MOMENT, "pattern": argument})
