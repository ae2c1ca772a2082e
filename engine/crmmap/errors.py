"""The exceptions that crmmap raises, and the exit code that each one means.

    CrmmapError
    ├── MappingError      the YAML is wrong; carries every Problem              exit 2
    ├── SettingError      a named setting or secret is missing or unreadable    exit 2
    ├── SourceError       the source answers wrongly (one stream fails)         exit 1
    │   ├── Throttled         the source wants us to come back later            exit 6
    │   └── SourceUnreachable authentication or connectivity                    exit 4
    ├── StoreError        the database refuses                                  exit 1
    │   ├── StoreUnreachable                                                    exit 4
    │   ├── StoreUnfit    the URL, the driver or the tables do not suit         exit 2
    │   └── StoreLocked   another run holds the lock                            exit 5
    ├── PolicyError       the records broke what was asked of them as a whole   exit 3
    └── Interrupted       the user stopped the run; it can be resumed           exit 130

A record's value never appears in a message, but for the beginning of an error answer that
a source itself wrote, with our secrets taken out. Bad data is never an exception: it
becomes a reject.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crmmap.values import Problem


class ExitCode(IntEnum):
    """What the `crmmap` process tells its caller."""

    OK = 0
    STREAM_FAILED = 1
    USAGE = 2
    DATA_POLICY = 3
    UNREACHABLE = 4
    LOCKED = 5
    PAUSED = 6
    INTERRUPTED = 130


def gravest(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the code of several outcomes: the greatest, but a pause only where nothing failed."""
    found = set(codes)
    failed = found - {ExitCode.OK, ExitCode.PAUSED}
    return max(failed or found, default=ExitCode.OK)


class CrmmapError(Exception):
    """Anything that stops crmmap and is not a bug of crmmap."""

    exit_code = ExitCode.STREAM_FAILED


class MappingError(CrmmapError):
    """The mapping is wrong; `problems` holds every fault found."""

    exit_code = ExitCode.USAGE

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class SettingError(CrmmapError):
    """A setting that the mapping names is missing, empty or unreadable."""

    exit_code = ExitCode.USAGE


class SourceError(CrmmapError):
    """The source answered, but not as the mapping says it should."""


class Throttled(SourceError):
    """The source asks us to wait longer than the mapping allows; the run can be resumed."""

    exit_code = ExitCode.PAUSED


class SourceUnreachable(SourceError):
    """The source can't be reached, or refuses our credentials."""

    exit_code = ExitCode.UNREACHABLE


class StoreError(CrmmapError):
    """The database refuses what it was asked."""


class StoreUnreachable(StoreError):
    """The database can't be reached, or refuses our credentials."""

    exit_code = ExitCode.UNREACHABLE


class StoreUnfit(StoreError):
    """The store's URL, its driver or its tables do not suit; nothing was attempted."""

    exit_code = ExitCode.USAGE


class StoreLocked(StoreError):
    """Another run of this mapping holds the lock."""

    exit_code = ExitCode.LOCKED


class PolicyError(CrmmapError):
    """A rule about the records as a whole is broken, first of all that each is accounted for."""

    exit_code = ExitCode.DATA_POLICY


class Interrupted(CrmmapError):
    """The run was asked to stop; what it committed stays, and it can be resumed."""

    exit_code = ExitCode.INTERRUPTED
