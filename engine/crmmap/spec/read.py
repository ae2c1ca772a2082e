"""A mapping's file, read: a whole `Mapping`, or every problem that it has."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path as FilePath

from crmmap.errors import MappingError
from crmmap.spec.build import build_mapping
from crmmap.spec.document import read_document
from crmmap.spec.faults import Fault, SourceMap, silenced
from crmmap.spec.lint import lint
from crmmap.spec.model import Mapping
from crmmap.spec.nodes import LARGEST, Unreadable
from crmmap.spec.validate import schema_faults
from crmmap.values import Path


def read_mapping(text: bytes, file: str) -> Mapping:
    """Read a mapping from the bytes of a YAML document; `file` is its name in messages.

    Touches no file, network or setting, and is safe on a stranger's text.
    Raises MappingError with all problems, in the order of the file.
    """
    try:
        document = read_document(text)
    except Unreadable as error:
        raise MappingError(SourceMap({}, {}).locate([error.fault], file)) from None
    faults = list(document.faults)
    spoilt = _spoilt(faults)
    if not isinstance(document.value, dict):
        message = "is not an object. A mapping begins with `crmmap: 1`"
        faults.append(Fault(path=(), rule="type", message=message))
        raise MappingError(document.places.locate(faults, file))
    faults += _news(schema_faults(document.value), spoilt)
    built = build_mapping(document.value, spoilt := _spoilt(faults))
    faults += _news(built.faults, spoilt)
    faults += lint(built, _spoilt(faults))
    if faults:
        raise MappingError(document.places.locate(faults, file))
    mapping = built.mapping
    streams = {name: mapping.asked(stream) for name, stream in mapping.streams.items()}
    return replace(mapping, streams=streams)


def _spoilt(faults: list[Fault]) -> frozenset[Path]:
    return frozenset(fault.path for fault in faults if fault.spoils)


def _news(faults: list[Fault] | tuple[Fault, ...], spoilt: frozenset[Path]) -> list[Fault]:
    return [fault for fault in faults if not silenced(fault, spoilt)]


def read_file(path: FilePath) -> Mapping:
    """Read a mapping from a file. Raises MappingError, also where the file can't be read."""
    try:
        # Looked at before it is opened: opening a FIFO would wait for its writer.
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise _unread(path, "is not a regular file. Copy its content to a file")
        with path.open("rb") as file:
            # One byte more than allowed is enough to know that the file is too large.
            text = file.read(LARGEST + 1)
    except IsADirectoryError:
        raise _unread(path, "is a directory. Name the mapping's file") from None
    except FileNotFoundError:
        raise _unread(path, "does not exist") from None
    except PermissionError:
        raise _unread(path, "may not be read by this user") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "a bad name"
        raise _unread(path, f"can't be read: {reason}") from None
    return read_mapping(text, str(path))


def _unread(path: FilePath, message: str) -> MappingError:
    fault = Fault(path=(), rule="file", message=message)
    return MappingError(SourceMap({}, {}).locate([fault], str(path)))
