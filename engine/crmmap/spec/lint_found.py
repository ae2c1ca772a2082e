"""Whether fields that the source lists can be found, and read once they are."""

from __future__ import annotations

from collections.abc import Iterator

from crmmap.select.jmespath import compile_expression
from crmmap.spec.faults import Fault
from crmmap.spec.model import FieldsFrom, Stream
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.values import Path

PROBE = '"probe"'


def faults(mapping: MappingSpec) -> Iterator[Fault]:
    """Yield the faults of every `fields_from`."""
    for name, stream in mapping.streams.items():
        if stream.fields_from is not None:
            yield from _finding(stream, stream.fields_from, ("streams", name, "fields_from"))


def _finding(stream: Stream, spec: FieldsFrom, path: Path) -> Iterator[Fault]:
    if stream.file is not None or stream.request is None:
        message = "asks an HTTP source, and the stream has none. Declare its fields instead"
        yield Fault(path=path, rule="fields_from.source", message=message, on_key=True)
    if not spec.types:
        message = "names no type. Write the source's words, and what they are: `{string: text}`"
        yield Fault(path=(*path, "types"), rule="fields_from.types", message=message)
    yield from _expression(spec.records, (*path, "records"))
    if "{name}" not in spec.from_:
        message = "has no place for the field's name. Write `{name}` there: `properties.{name}`"
        yield Fault(path=(*path, "from"), rule="fields_from.name", message=message)
    else:
        quoted = spec.from_.replace('"{name}"', PROBE).replace("'{name}'", "'probe'")
        yield from _expression(quoted.replace("{name}", PROBE), (*path, "from"))


def _expression(text: str, path: Path) -> Iterator[Fault]:
    try:
        compile_expression(text)
    except ValueError as error:
        yield Fault(path=path, rule="expression", message=str(error))
