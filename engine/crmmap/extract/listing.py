"""Which files a stream reads: those that its `file` names, in the order of their names."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crmmap.errors import SourceError
from crmmap.extract.packed_file import unpacked_files
from crmmap.extract.regular_file import Local
from crmmap.extract.remote_file import is_url, local_path, remote_files
from crmmap.extract.standard_input import NAME
from crmmap.extract.stored import Stored, shown
from crmmap.kinds.formats import Unpack
from crmmap.kinds.source import Files
from crmmap.plan import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files found. `several` says that it could have been another number of them."""

    files: tuple[Stored, ...]
    several: bool


def listed(step: Step, standard_input: Stored) -> Listing:
    """Return the files that a stream's `file` names.

    A path that is there is that file, whatever characters are in it. Raises SourceError if a
    pattern or a directory has none and the source does not say that this is well.
    """
    source, named = step.source, step.file or ""
    how: Unpack = getattr(step.format, "unpack", "none")
    assert isinstance(source, Files)  # noqa: S101  (its reader was chosen by that)
    listing = _listed(source, named, standard_input)
    if how == "none":
        return listing
    files = [each for file in listing.files for each in unpacked_files(file, how, source.pattern)]
    if not files and source.none == "fail":
        raise _nothing(named)
    packed = any(each.name != file.name for each, file in zip(files, listing.files, strict=False))
    return Listing(files=tuple(files), several=listing.several or packed or not files)


def _listed(source: Files, named: str, standard_input: Stored) -> Listing:
    if named == NAME:
        return Listing(files=(standard_input,), several=False)
    named = local_path(named)
    if is_url(named):
        return _elsewhere(source, named)
    root = Path(source.root) if source.root else None
    found = _several(source, named)
    if found is None:
        return Listing(files=(Local(path=Path(named), root=root),), several=False)
    paths = sorted(path for path in found if not os.path.isdir(path))
    if not paths and source.none == "fail":
        raise _nothing(named)
    return Listing(files=tuple(Local(path=Path(path), root=root) for path in paths), several=True)


def _elsewhere(source: Files, named: str) -> Listing:
    if source.root:
        message = f"{shown(named)}: lies elsewhere, and the source's `root` is of this machine"
        raise SourceError(message)
    files, several = remote_files(named, source.pattern)
    if not files and source.none == "fail":
        raise _nothing(named)
    return Listing(files=tuple(files), several=several)


def _nothing(named: str) -> SourceError:
    message = (
        f"{shown(named)}: no file is there. Check the setting that gives it, or write "
        "`none: ok` in the source where that may be"
    )
    return SourceError(message)


def _several(source: Files, named: str) -> Iterator[str] | None:
    """Yield the paths that a pattern or a directory has; None where `named` is one path."""
    if "\0" in named:
        return None
    if os.path.isdir(named):
        return glob.iglob(os.path.join(glob.escape(named), source.pattern), recursive=True)
    if os.path.lexists(named) or not glob.has_magic(named):
        return None
    return glob.iglob(named, recursive=True)
