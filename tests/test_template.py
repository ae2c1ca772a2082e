"""Templates: what they may say, and what they give."""

from __future__ import annotations

import pytest

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
