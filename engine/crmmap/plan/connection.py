"""Whether the settings that a user gave make a source that can be asked at all.

Known before the first request, so that a mistyped address or a token pasted
with a line break in it stops the command, not a stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from crmmap.errors import SettingError
from crmmap.kinds.database import Sql, unusable
from crmmap.kinds.signing import Hmac
from crmmap.kinds.source import Http
from crmmap.kinds.tokens import Denied, InMemory
from crmmap.plan.absences import absences
from crmmap.plan.rendering import Settings, render_declared
from crmmap.spec.addresses import unsafe
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.template import Template
from crmmap.values import Request, Secret

FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""What HTTP/1.1 allows in a header's value (RFC 9110, 5.5), as it is encoded on the wire."""


def demand_askable(mapping: MappingSpec, settings: Settings) -> None:
    """Raise SettingError, naming the settings, if an address or a header can't be made of them.

    It lists all that are wrong at once, and none of their values.
    """
    absent = absences(mapping, settings, ())
    faults: dict[str, None] = {}
    for name, source in mapping.every_source.items():
        streams = [each for each, it in mapping.streams.items() if mapping.source_name(it) == name]
        if all(each in absent for each in streams):
            continue  # of a source that is not there, nothing is asked
        path = ".".join(mapping.source_path(name))
        if isinstance(source, Sql):
            message = unusable(render_declared(source, settings).url.reveal())
            where = _named(mapping, source.url.reveal(), f"{path}.url")
            faults |= {f"{where}: {message}": None} if message is not None else {}
        if isinstance(source, Http):
            rendered = render_declared(source, settings)
            faults |= dict.fromkeys((*_addresses(mapping, source, rendered, path),
                                     *_headers(mapping, source, rendered, path),
                                     *_keys(mapping, source, rendered, path)))  # fmt: skip
    if faults:
        raise SettingError("\n".join(faults))


def _addresses(mapping: MappingSpec, source: Http, rendered: Http, path: str) -> Iterator[str]:
    texts = {"base_url": source.base_url}
    texts.update({f"origins.{at}": each for at, each in enumerate(source.origins)})
    for (place, text), address in zip(
        texts.items(), (rendered.base_url, *rendered.origins), strict=True
    ):
        message = unsafe(address) if address else "is empty. Write https://HOST"
        if message is not None:
            yield f"{_named(mapping, text, f'{path}.{place}')}: {message}"


def _headers(mapping: MappingSpec, source: Http, rendered: Http, path: str) -> Iterator[str]:
    """Yield what no header can carry, of those that every request is sent with."""
    for (name, text), (_, value) in zip(_sent(source), _sent(rendered), strict=True):
        message = _uncarried(_revealed(value))
        if message is not None:
            where = _named(mapping, _revealed(text), path)
            yield f"{where}: {message} (it is sent in the header {name!r})"


def _keys(mapping: MappingSpec, source: Http, rendered: Http, path: str) -> Iterator[str]:
    """Yield why requests can't be signed with the key that was given."""
    if isinstance(source.auth, Hmac) and isinstance(rendered.auth, Hmac):
        try:
            next(rendered.auth.flow(Request(url=rendered.base_url), InMemory()))
        except ValueError as error:
            yield f"{_named(mapping, source.auth.key.reveal(), f'{path}.auth.key')}: {error}"


def _sent(source: Http) -> tuple[tuple[str, str | Secret], ...]:
    # The first request of the conversation is made without any answer, so without a network.
    if getattr(source.auth, "varies", False):
        return tuple(source.headers.items())
    try:
        signed = next(source.auth.flow(Request(url=source.base_url), InMemory()))
    except Denied:  # nobody has logged in yet, which is the run's to say
        return tuple(source.headers.items())
    return (*source.headers.items(), *signed.headers)


def _uncarried(value: str) -> str | None:
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
        return "holds a line break or another control character. Paste it again, in one line"
    if not FIELD_VALUE.fullmatch(value):
        return "holds a character outside of Latin-1, which no header can carry. Paste it again"
    if value != value.strip():
        return "is empty, or begins or ends with a blank, which no header can carry"
    return None


def _revealed(text: str | Secret) -> str:
    return text.reveal() if isinstance(text, Secret) else text


def _named(mapping: MappingSpec, text: str, place: str) -> str:
    """Return the settings that a template names, with their variables; where it stands if none."""
    names = sorted(Template.parse(text).settings)
    described = [_described(mapping, name) for name in names]
    if not described:
        return place
    return f"setting{'s' if len(described) > 1 else ''} {', '.join(described)}"


def _described(mapping: MappingSpec, name: str) -> str:
    variable = mapping.settings[name].env
    return f"{name} ({variable})" if variable else name
