"""Fields that the source lists: what they are called, what they are, and the fields they become."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from hashlib import sha256
from unicodedata import normalize

from crmmap.errors import SourceError
from crmmap.kinds.types import Text
from crmmap.plan.steps import FoundField, Step
from crmmap.select.jmespath import Jmespath, compile_expression, leaves
from crmmap.spec.model import Field, FieldsFrom, Naming, Stream
from crmmap.spec.model import Mapping as MappingSpec

Found = Mapping[str, Sequence[FoundField]]
"""Stream → the fields that its source listed."""

PLACE = re.compile(r"'\{name\}'|\"\{name\}\"|\{name\}")
RESERVED = "_crmmap_"
NAMED = 8
"""So many names stand in one sentence."""


def with_found(mapping: MappingSpec, found: Found) -> MappingSpec:
    """Return the mapping with the fields found beside the declared ones. Raises SourceError."""
    streams = {
        name: _with(name, stream, found[name]) if name in found else stream
        for name, stream in mapping.streams.items()
    }
    return replace(mapping, streams=streams)


def grown(step: Step, found: Sequence[FoundField]) -> Step:
    """Return the step with the columns of the fields found. Raises SourceError."""
    if step.finding is None:
        return step
    compiled = step.finding.compiled(found)
    return replace(
        step,
        target=compiled.target,
        selector=compiled.selector,
        fields=compiled.fields,
        optional=compiled.optional,
        selected=compiled.selected,
        selection=compiled.selection,
        fingerprint=compiled.fingerprint,
    )


def unknown_types(step: Step, found: Sequence[FoundField]) -> tuple[str, ...]:
    """Return a sentence about fields whose type the mapping has no word for, if there are any."""
    if step.finding is None:
        return ()
    spec = step.finding.spec
    names = [
        f"{each.name} ({each.type})" if each.type else each.name
        for each in sorted(found, key=lambda each: each.name)
        if each.type not in spec.types and is_wanted(spec, each.name)
    ]
    if not names:
        return ()
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    listed = ", ".join(names[:NAMED])
    return (
        f"{step.name}: kept as text, for `types` has no word for what they are: {listed}{more}",
    )


def path_of(spec: FieldsFrom, name: str) -> str:
    """Return the JMESPath to a field's value. Its name stays a name, whatever is in it."""

    def written(place: re.Match[str]) -> str:
        quoted = json.dumps(name)
        return f"`{quoted.replace('`', chr(92) + '`')}`" if place[0][0] == "'" else quoted

    return PLACE.sub(written, spec.from_)


# --- the fields -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    found: FoundField
    path: str
    column: str


def _with(name: str, stream: Stream, found: Sequence[FoundField]) -> Stream:
    spec = stream.fields_from
    assert spec is not None  # noqa: S101  (nobody else is asked)
    try:
        named = _named(stream, spec, found)
    except ValueError as error:
        message = f"stream '{name}': fields_from: {error}"
        raise SourceError(message) from None
    # By name, so that it does not matter in which order the source lists them.
    more = {
        each.column: Field(
            from_=(each.path,),
            type=spec.types.get(each.found.type, Text()),
            on_error=spec.on_error,
            comment=each.found.name,
        )
        for each in sorted(named, key=lambda each: each.column)
    }
    return replace(stream, fields={**stream.fields, **more})


def _named(stream: Stream, spec: FieldsFrom, found: Sequence[FoundField]) -> tuple[_Named, ...]:
    read = set(_read(stream))
    wanted = [
        (each, path_of(spec, each.name)) for each in found if is_wanted(spec, each.name)
    ]  # fmt: skip
    added = [(each, path) for each, path in wanted if not read & {*leaves(_compiled(path))}]
    if len(added) > spec.most:
        message = (
            f"{len(added)} fields were found, and `most` allows {spec.most}. "
            "Leave some out with `only` or `except`, or raise `most`"
        )
        raise ValueError(message)
    named = [
        _Named(found=each, path=path, column=column_name(each.name, spec.column))
        for each, path in added
    ]
    return tuple(_apart(stream, spec.column, named))


def _compiled(path: str) -> Jmespath:
    try:
        return compile_expression(path)
    except ValueError:
        message = "a field has a name that no expression can hold. Leave it out with `except`"
        raise ValueError(message) from None


def _read(stream: Stream) -> Iterator[tuple[str | int, ...]]:
    """Yield the places in a record that the declared fields read."""
    for field in stream.fields.values():
        for text in field.from_:
            yield from leaves(compile_expression(text))


def is_wanted(spec: FieldsFrom, name: str) -> bool:
    """Say whether `only` and `except` let a field in."""
    chosen = not spec.only or any(fnmatchcase(name, each) for each in spec.only)
    return chosen and not any(fnmatchcase(name, each) for each in spec.except_)


# --- the columns' names ---------------------------------------------------------------------------


def column_name(name: str, rule: Naming) -> str:
    """Return the column of a field: letters, digits and `_`, not longer than the rule allows."""
    text = normalize("NFKD", name)
    if rule.case == "snake":
        text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text).lower()
    text = re.sub(r"[\u0300-\u036f]", "", text)  # the accents that were taken off
    text = re.sub(r"^[^A-Za-z0-9_]+|[^A-Za-z0-9_]+$", "", text)
    text = rule.prefix + re.sub(r"[^A-Za-z0-9_]+", "_", text)
    if not text.strip("_") or text == rule.prefix:
        text = f"{rule.prefix}field_{_digest(name)}"
    if text[0].isdigit():
        text = f"_{text}"
    return text if len(text) <= rule.longest else _with_digest(text, name, rule)


def _apart(stream: Stream, rule: Naming, named: Sequence[_Named]) -> Iterator[_Named]:
    """Yield the fields, each with a column of its own. Raises ValueError."""
    declared = {name.casefold() for name in stream.fields}
    count = Counter(each.column.casefold() for each in named)
    for each in named:
        folded = each.column.casefold()
        if folded not in declared and count[folded] == 1 and not folded.startswith(RESERVED):
            yield each
        elif rule.clash == "digest":
            column = _with_digest(each.column.removeprefix(RESERVED), each.found.name, rule)
            yield replace(each, column=column)
        else:
            raise ValueError(_clash(each, named, declared))


def _clash(each: _Named, named: Sequence[_Named], declared: set[str]) -> str:
    folded = each.column.casefold()
    alike = [other.found.name for other in named if other.column.casefold() == folded]
    others = [name for name in alike if name != each.found.name]
    if folded in declared:
        what = f"'{each.found.name}' would have the column of the declared field '{each.column}'"
    elif others:
        what = f"'{each.found.name}' and '{others[0]}' would have one column, '{each.column}'"
    else:
        what = f"'{each.found.name}' would have a column that is kept for ours, '{each.column}'"
    return f"{what}. Leave one out with `except`, or write `column: {{clash: digest}}`"


def _with_digest(text: str, name: str, rule: Naming) -> str:
    return f"{text[: rule.longest - 9]}_{_digest(name)}"


def _digest(name: str) -> str:
    return sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:8]
