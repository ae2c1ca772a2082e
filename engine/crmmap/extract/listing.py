"""Which files a stream reads: those that its `file` names, in the order of their names."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crmmap.errors import SourceError
from crmmap.extract.regular_file import Local
from crmmap.extract.stored import Stored, shown
from crmmap.kinds.source import Files


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files found. `several` says that it could have been another number of them."""

    files: tuple[Stored, ...]
    several: bool


def listed(source: Files, named: str) -> Listing:
    """Return the files that a stream's `file` names.

    A path that is there is that file, whatever characters are in it. Raises SourceError if a
    pattern or a directory has none and the source does not say that this is well.
    """
    root = Path(source.root) if source.root else None
    found = _several(source, named)
    if found is None:
        return Listing(files=(Local(path=Path(named), root=root),), several=False)
    paths = sorted(path for path in found if not os.path.isdir(path))
    if not paths and source.none == "fail":
        message = (
            f"{shown(named)}: no file is there. Check the setting that gives it, or write "
            "`none: ok` in the source where that may be"
        )
        raise SourceError(message)
    return Listing(files=tuple(Local(path=Path(path), root=root) for path in paths), several=True)


def _several(source: Files, named: str) -> Iterator[str] | None:
    """Yield the paths that a pattern or a directory has; None where `named` is one path."""
    if "\0" in named:
        return None
    if os.path.isdir(named):
        return glob.iglob(os.path.join(glob.escape(named), source.pattern), recursive=True)
    if os.path.lexists(named) or not glob.has_magic(named):
        return None
    return glob.iglob(named, recursive=True)
