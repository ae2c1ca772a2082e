"""`crmmap check`: every problem of every mapping."""

from __future__ import annotations

from collections.abc import Sequence

from crmmap import __version__
from crmmap.cli.mappings import gather
from crmmap.cli.surroundings import Surroundings
from crmmap.errors import ExitCode
from crmmap.report.problems import problem_report


def check_mappings(words: Sequence[str], format_: str, surroundings: Surroundings) -> ExitCode:
    """Print the mappings' problems on standard output; the exit code says if there are any."""
    _, problems = gather(words)
    text = problem_report(problems, format_=format_, version=__version__)
    if text:
        surroundings.write(text)
    return ExitCode.USAGE if problems else ExitCode.OK
