"""What may be typed of the ledger: `crmmap rejects …`, `crmmap state …` and `crmmap remap`."""

from __future__ import annotations

from typing import Any

import click

from crmmap.cli.options import (
    MAPPING,
    as_json,
    one_mapping,
    settings_option,
    several_mappings,
    store_option,
)
from crmmap.cli.surroundings import Surroundings
from crmmap.errors import ExitCode


def which_options(command: Any) -> Any:
    """Add the options that say which rejects are meant."""
    for option in (
        click.option("--id", "ids", metavar="ID", multiple=True,
                     help="Only this one; the beginning of its id will do. May be repeated."),
        click.option("--rule", "rules", metavar="RULE", multiple=True,
                     help="Only those that broke this rule: type, required, lookup, …"),
        click.option("--field", "fields", metavar="NAME", multiple=True,
                     help="Only those refused because of this field."),
        click.option("--run", "runs", metavar="RUN", multiple=True,
                     help="Only those of this run."),
        click.option("--stream", "-s", "streams", metavar="NAME", multiple=True,
                     help="Only those of this stream. May be repeated, as those below."),
    ):  # fmt: skip
        command = option(command)
    return command


@click.group()
def rejects() -> None:
    """Look at the records that were refused, and try them again.

    A reject is open until its record is loaded, by a run or by `retry`, is refused anew, or is
    dropped.
    """


@rejects.command("list", epilog=MAPPING)
@several_mappings
@which_options
@click.option("--state", type=click.Choice(["open", "resolved", "all"]), default="open",
              show_default=True,
              help="Open ones; those loaded, superseded or dropped since; or all.")  # fmt: skip
@click.option("--by", type=click.Choice(["rule", "field", "stream", "run"]),
              help="Count them instead: under each reason that one has.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N",
              help="Show the newest N.")  # fmt: skip
@click.option("--raw", is_flag=True, help="Show each whole, with its record as the source sent it.")
@store_option
@as_json
@click.pass_obj
def list_(surroundings: Surroundings, /, **options: Any) -> ExitCode:
    """List each MAPPING's rejects: which record, which field, which rule.

    Values of records are shown only with --raw.
    """
    from crmmap.cli.rejects import RejectsOrder, list_rejects

    return list_rejects(RejectsOrder(**options), surroundings)


@rejects.command(epilog=MAPPING)
@one_mapping
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@store_option
@as_json
@click.pass_obj
def show(surroundings: Surroundings, /, **options: Any) -> ExitCode:
    """Show rejects of MAPPING whole: reasons, place, run, what became of it, and the record.

    The beginning of an ID will do. Secrets of the mapping's settings are masked.
    """
    from crmmap.cli.rejects import RejectsOrder, show_rejects

    mapping = options.pop("mapping")
    return show_rejects(RejectsOrder(mappings=(mapping,), **options), surroundings)


@rejects.command(epilog=MAPPING)
@several_mappings
@which_options
@click.option("--all", "everything", is_flag=True, help="All of them, whatever they are.")
@click.option("--before", metavar="TIME",
              help="Only those refused before: 2024-01-31, or 2024-01-31T08:00:00Z.")  # fmt: skip
@click.option("--purge", is_flag=True,
              help="Remove them from the ledger, for good. Needs --before.")  # fmt: skip
@click.option("--state", type=click.Choice(["open", "resolved", "all"]),
              help="What --purge removes.  [default: resolved]")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say how many they are.")
@store_option
@as_json
@click.pass_obj
def drop(surroundings: Surroundings, /, **options: Any) -> ExitCode:
    """Resolve rejects of each MAPPING as dropped: nobody wants their records any more.

    They stay in the ledger, unless it is purged of them.
    """
    from crmmap.cli.rejects import RejectsOrder, drop_rejects

    return drop_rejects(RejectsOrder(**options), surroundings)


@rejects.command(epilog=MAPPING)
@several_mappings
@which_options
@click.option("--force", is_flag=True,
              help="Write over rows that a later run has written, too.")  # fmt: skip
@click.option("--dry-run", is_flag=True,
              help="Only say how many would pass now, by rule; write nothing.")  # fmt: skip
@store_option
@settings_option
@as_json
@click.option("--quiet", "-q", is_flag=True, help="No progress on standard error.")
@click.pass_obj
def retry(surroundings: Surroundings, /, **options: Any) -> ExitCode:
    """Take each MAPPING's open rejects through the mapping as it is now.

    They are loaded from the records that were kept: the source is not read. What is refused
    again stays open, with its reasons of now. No newer row is written over: by the version that
    the stream names, or where it names none, by the run that wrote it.
    """
    from crmmap.cli.rejects import RejectsOrder
    from crmmap.cli.retry import retry_rejects

    return retry_rejects(RejectsOrder(**options), surroundings)


# --- state ----------------------------------------------------------------------------------------

some_streams = click.option(
    "--stream", "-s", "streams", metavar="NAME", multiple=True,
    help="Only this stream. May be repeated.",
)  # fmt: skip


@click.group()
def state() -> None:
    """Look at how far streams have been read, and change it.

    A cursor is where the next run asks for changes; a position, where it goes on with a read
    that was interrupted. Nothing is changed while a run of the mapping is under way.
    """


@state.command("show", epilog=MAPPING)
@one_mapping
@some_streams
@store_option
@as_json
@click.pass_obj
def show_state(surroundings: Surroundings, /, **options: Any) -> ExitCode:
    """Show the cursors and positions of MAPPING's streams, when they moved, and by which run."""
    from crmmap.cli import state as work

    return work.show_state(work.StateOrder(**options), surroundings)


@state.command("set", epilog=MAPPING)
@one_mapping
@click.argument("value", metavar="CURSOR")
@some_streams
@click.option("--partition", metavar="LABEL",
              help="Of a stream with a cursor for each partition: which.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@store_option
@settings_option
@as_json
@click.pass_obj
def set_state(surroundings: Surroundings, /, **options: Any) -> ExitCode:
    """Have the next run of one stream of MAPPING ask from CURSOR on.

    A time in ISO 8601, a number or an id, as the stream's `incremental` has it. An interrupted
    read is given up.
    """
    from crmmap.cli import state as work

    return work.set_state(work.StateOrder(**options), surroundings)


@state.command("reset", epilog=MAPPING)
@one_mapping
@some_streams
@click.option("--all", "everything", is_flag=True, help="Every stream.")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@store_option
@as_json
@click.pass_obj
def reset_state(surroundings: Surroundings, /, **options: Any) -> ExitCode:
    """Have the next run read streams of MAPPING from the start. Their rows stay.

    Unlike `run --full`, it reads nothing now.
    """
    from crmmap.cli import state as work

    return work.reset_state(work.StateOrder(**options), surroundings)


@state.command("export", epilog=MAPPING)
@one_mapping
@some_streams
@click.option("--output", "-o", "file", metavar="FILE", default="-",
              help="Where to write it.  [default: standard output]")  # fmt: skip
@store_option
@click.pass_obj
def export_state(surroundings: Surroundings, /, **options: Any) -> ExitCode:
    """Write the cursors and positions of MAPPING's streams as JSON, for `import`.

    Records that wait and rejects are not part of it.
    """
    from crmmap.cli import state as work

    return work.export_state(work.StateOrder(**options), surroundings)


@state.command("import", epilog=MAPPING)
@one_mapping
@click.argument("file", metavar="FILE")
@some_streams
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@store_option
@settings_option
@as_json
@click.pass_obj
def import_state(surroundings: Surroundings, /, **options: Any) -> ExitCode:
    """Take over what `export` wrote into FILE (- for standard input).

    Refused where it is of another mapping, or a cursor was kept for another request or other
    settings. A position is taken only if the stream is the same.
    """
    from crmmap.cli import state as work

    return work.import_state(work.StateOrder(**options), surroundings)


# --- the archive --------------------------------------------------------------------------------


@click.command(epilog=MAPPING)
@several_mappings
@click.option("--since", metavar="TIME|RUN",
              help="Only what was read since: by runs that began then (2024-01-31, or "
              "2024-01-31T08:00:00Z), or by this run and later ones.  [default: all]")  # fmt: skip
@click.option("--stream", "-s", "streams", metavar="NAME", multiple=True,
              help="Only this stream. May be repeated.")  # fmt: skip
@store_option
@click.option("--dry-run", is_flag=True,
              help="Only say what would become of the records; write nothing.")  # fmt: skip
@settings_option
@as_json
@click.option("--quiet", "-q", is_flag=True, help="No progress on standard error.")
@click.pass_obj
def remap(surroundings: Surroundings, /, **options: Any) -> ExitCode:
    """Make each MAPPING's tables again from the archive, through the mapping as it is now.

    The pages that runs kept (`archive`) are loaded as they were read, in their order: new
    fields are filled, other rules judge. The source is not asked, and where its reading goes on
    stays as it is. No newer row is written over, and rows that the archive has not stay; the
    summary says what it lacks.
    """
    from crmmap.cli.remap import RemapOrder, remap_mappings

    return remap_mappings(RemapOrder(**options), surroundings)
