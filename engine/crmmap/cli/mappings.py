"""From what was typed to mappings: paths, shipped names, settings, and clashes between several."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import click

import crmmap
from crmmap.errors import MappingError
from crmmap.spec import Mapping, read_file
from crmmap.spec.document import read_document
from crmmap.spec.faults import Fault
from crmmap.spec.nodes import Unreadable
from crmmap.values import Problem, Secret

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One mapping, read: the word that was typed for it, its file, and what it says."""

    word: str
    path: Path
    mapping: Mapping


def find(word: str) -> Path:
    """Return the file that a word means: a path, or a shipped mapping's name. Raises UsageError."""
    path = Path(word)
    if path.is_file() or path.suffix in SUFFIXES or len(path.parts) > 1:
        return path
    shipped = shipped_mappings()
    if word in shipped:
        return shipped[word]
    near = get_close_matches(word, shipped, n=1)
    guess = f" Did you mean '{near[0]}'?" if near else ""
    names = ", ".join(shipped) or "none"
    message = (
        f"'{word}' is neither a file nor a mapping that came with crmmap.{guess} Those are: {names}"
    )
    raise click.UsageError(message)


def shipped_mappings() -> dict[str, Path]:
    """Return the mappings that came with crmmap, by name: inside the package, or in a checkout."""
    package = Path(crmmap.__file__).parent
    folders = (package / "mappings", package.parent.parent / "mappings")
    folder = next((each for each in folders if each.is_dir()), None)
    files = sorted(folder.glob("*.yaml")) if folder else []
    return {file.stem: file for file in files}


def read_all(words: Sequence[str]) -> tuple[Found, ...]:
    """Read every mapping. Raises MappingError with the problems of all of them together."""
    found, problems = gather(words)
    if problems:
        raise MappingError(problems)
    return found


def gather(words: Sequence[str]) -> tuple[tuple[Found, ...], tuple[Problem, ...]]:
    """Return the mappings that can be read, and every problem, also those between mappings."""
    found: list[Found] = []
    problems: list[Problem] = []
    for word, path in {word: find(word) for word in words}.items():
        try:
            found.append(Found(word=word, path=path, mapping=read_file(path)))
        except MappingError as error:
            problems += error.problems
    return tuple(found), (*problems, *_clashes(found))


# --- two mappings that can't live in one store ----------------------------------------------------


def _clashes(every: Iterable[Found]) -> Iterator[Problem]:
    """Yield what two mappings both claim: a name, by which the ledger knows them, or a table."""
    names: dict[str, Found] = {}
    tables: dict[str, Found] = {}
    for found in every:
        faults: list[Fault] = []
        # Databases compare these names without regard to case, or may.
        other = names.setdefault(found.mapping.name.lower(), found)
        if other is not found:
            faults.append(_fault(("name",), found.mapping.name, other, "is the name of"))
        for stream, each in found.mapping.streams.items():
            other = tables.setdefault(each.table.name.lower(), found)
            if other is not found:
                path = ("streams", stream, "table", "name")
                faults.append(_fault(path, each.table.name, other, "is a table of"))
        yield from _located(found.path, faults)


def _fault(path: tuple[str, ...], word: str, other: Found, claim: str) -> Fault:
    message = (
        f"'{word}' {claim} {other.path} too. Give one of them another name, "
        "or load them into two stores"
    )
    return Fault(path=path, rule="mappings.clash", message=message)


def _located(path: Path, faults: Sequence[Fault]) -> tuple[Problem, ...]:
    if not faults:
        return ()
    try:
        places = read_document(path.read_bytes()).places
    except (OSError, Unreadable):  # it was read a moment ago, but files change
        return ()
    return places.locate(faults, str(path))


# --- settings -------------------------------------------------------------------------------------


def given_settings(pairs: Sequence[str]) -> dict[str, str]:
    """Return `NAME=VALUE` pairs as a dictionary. Raises UsageError, which quotes no value."""
    given: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            message = "--set takes NAME=VALUE, with the name of a setting before the '='"
            raise click.UsageError(message)
        given[name] = value
    return given


def settings_for(mapping: Mapping, given: dict[str, str]) -> dict[str, str]:
    """Return those of the given settings that the mapping has."""
    from crmmap.plan import under_new_names  # imported here: a check makes no plan

    renamed = under_new_names(mapping, given)
    return {name: value for name, value in renamed.items() if name in mapping.settings}


def known_secrets(mapping: Mapping, environment: MappingOf[str, str]) -> Iterator[Secret]:
    """Yield the values of the mapping's secret settings that the environment has."""
    for setting in mapping.settings.values():
        text = environment.get(setting.env or "", "").strip()
        if setting.secret and text:
            yield Secret(text)


def refuse_unknown_settings(mappings: Sequence[Mapping], given: Iterable[str]) -> None:
    """Raise UsageError if a given setting is of none of the mappings."""
    known = sorted({name for mapping in mappings for name in mapping.settings})
    old = {name for each in mappings for setting in each.settings.values() for name in setting.was}
    for name in given:
        if name not in known and name not in old:
            raise click.UsageError(_unknown("setting", name, known))


def refuse_unknown_streams(mappings: Sequence[Mapping], streams: Iterable[str]) -> None:
    """Raise UsageError if a stream asked for is in none of the mappings."""
    known = list(dict.fromkeys(name for mapping in mappings for name in mapping.streams))
    for name in streams:
        if name not in known:
            raise click.UsageError(_unknown("stream", name, known))


def refuse_unknown_sources(mappings: Sequence[Mapping], sources: Iterable[str]) -> None:
    """Raise UsageError if a source asked for is of none of the mappings."""
    known = list(dict.fromkeys(name for mapping in mappings for name in mapping.every_source))
    for name in sources:
        if name not in known:
            raise click.UsageError(_unknown("source", name, known))


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    guess = f" Did you mean '{near[0]}'?" if near else ""
    return f"there is no {what} '{name}'.{guess} There are: {', '.join(known) or 'none'}"
