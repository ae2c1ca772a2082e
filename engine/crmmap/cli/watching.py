"""Runs of several mappings, one after the other: their progress, Ctrl-C, and what stopped each."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from crmmap.cli.failures import told
from crmmap.cli.garbage import look_for_it
from crmmap.cli.stopping import stopping
from crmmap.cli.surroundings import Surroundings
from crmmap.errors import CrmmapError, ExitCode, gravest
from crmmap.events import Event, RunReport, StreamReport
from crmmap.report.document import run_document
from crmmap.report.parts import rendered
from crmmap.report.progress import Progress, progress_on
from crmmap.report.summary import Missed, Outcome, summary, worst

STOPPING = "finishing the batch in flight; press Ctrl-C again to stop at once"
STOPPED = "stopped at once; what was committed stays; run it again to go on"


@dataclass(slots=True)
class Watch:
    """What the runs of one command share; `progress` is that of the run under way."""

    quiet: bool
    surroundings: Surroundings
    stop: threading.Event = field(default_factory=threading.Event)
    progress: Progress | None = None

    def say(self, text: str) -> None:
        """Tell people something at once, without tearing the progress bars."""
        if self.progress is None:
            self.surroundings.warn(text)
        else:
            self.progress.say(self.surroundings.clean(text))

    def observe(self, event: Event) -> None:
        """Show what a run tells."""
        if self.progress is not None:
            clean = self.surroundings.clean(event.message) if event.message else ""
            self.progress.observe(replace(event, message=clean))

    @contextmanager
    def following(self, mapping: str) -> Iterator[None]:
        """Show the progress of a mapping's run."""
        if not self.quiet:
            self.progress = progress_on(sys.stderr, mapping)
        try:
            yield
        finally:
            progress, self.progress = self.progress, None
            if progress is not None:
                progress.close()


def run_all(watch: Watch, runs: Mapping[str, Callable[[], RunReport]]) -> tuple[Outcome, ...]:
    """Do the runs, each by its mapping's name, and return what came of them, without secrets."""
    look_for_it()
    outcomes: list[Outcome] = []
    with stopping(lambda: watch.say(STOPPING), STOPPED) as watch.stop:
        for name, run in runs.items():
            if watch.stop.is_set():
                outcomes.append(_not_begun(name))
            else:
                outcomes.append(_outcome(watch, name, run))
    return tuple(outcomes)


def _not_begun(name: str) -> Missed:
    return Missed(
        mapping=name, message="the command was interrupted before its turn",
        exit_code=ExitCode.INTERRUPTED, status="not begun",
    )  # fmt: skip


def _outcome(watch: Watch, name: str, run: Callable[[], RunReport]) -> Outcome:
    """Run one mapping. Whatever stops it must not lose the reports of the others."""
    try:
        with watch.following(name):
            return _cleaned(run(), watch.surroundings)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  (polars' panics are no `Exception`)
        message, code = told(error, watch.surroundings)
        watch.surroundings.warn(f"error: {name}: {message}")
        return Missed(mapping=name, message=watch.surroundings.clean(message), exit_code=code)


def _cleaned(report: RunReport, surroundings: Surroundings) -> RunReport:
    """Return the report without secrets."""
    clean = surroundings.clean
    streams = tuple(
        replace(each, message=clean(_message(each, surroundings))) if each.message else each
        for each in report.streams
    )
    return replace(report, streams=streams, remarks=tuple(clean(each) for each in report.remarks))


def _message(stream: StreamReport, surroundings: Surroundings) -> str:
    """Return a stream's message; of a fault of ours, with the file that holds its traceback."""
    if stream.error is None or isinstance(stream.error, CrmmapError):
        return stream.message
    return told(stream.error, surroundings)[0]


def named(outcomes: Sequence[Outcome], store: str, *, dry_run: bool = False) -> tuple[Outcome, ...]:
    """Return the outcomes with the store named as `--store` takes it."""
    return tuple(
        each if isinstance(each, Missed) else replace(each, store=store, dry_run=dry_run)
        for each in outcomes
    )


def tell(
    outcomes: Sequence[Outcome],
    words: Sequence[str],
    surroundings: Surroundings,
    *,
    as_json: bool,
    again: Mapping[str, str],
) -> ExitCode:
    """Print the summary or the JSON reports, and return the worst exit code.

    `words` are the mappings asked for; `again` has the command that goes on, by mapping.
    """
    code = worst(outcomes)
    try:
        surroundings.write(_json(outcomes, words) if as_json else _summary(outcomes, again))
    except CrmmapError as error:
        surroundings.warn(f"error: {error}")
        return gravest((code, error.exit_code))
    return code


def _json(outcomes: Sequence[Outcome], words: Sequence[str]) -> str:
    documents = [run_document(each) for each in outcomes]
    # One object for one mapping: of several asked for, a list, even if one was run.
    whole = documents if len(words) > 1 else documents[0]
    return json.dumps(whole, indent=2) + "\n"


def _summary(outcomes: Sequence[Outcome], again: Mapping[str, str]) -> str:
    if len(outcomes) == 1 and isinstance(outcomes[0], Missed):
        return ""  # its message went to standard error, and there is nothing to sum up
    return rendered(summary(outcomes, again), sys.stdout)
