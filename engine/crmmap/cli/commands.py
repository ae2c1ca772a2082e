"""What may be typed: the commands, their arguments and options.

Each command's work stands in the module of its name, imported when it is called.
"""

from __future__ import annotations

import json
from typing import Any

import click

import crmmap
from crmmap.cli.ledger_commands import rejects, remap, state
from crmmap.cli.options import (
    MAPPING,
    as_json,
    mock_options,
    one_mapping,
    settings_option,
    several_mappings,
    source_option,
    store_option,
)
from crmmap.cli.surroundings import Surroundings
from crmmap.errors import ExitCode

EXIT_CODES = """\b
Exit codes:
  0    all well
  1    a stream, the store or the output failed
  2    the command, a setting, a mapping or the store does not fit; nothing of that mapping was read
  3    data policy broken: rejects beyond a limit, expectations not met, accounts out of balance
  4    source or store can't be reached, or refuses the credentials
  5    another run of the mapping holds its lock
  6    paused: nothing failed, but the source wants us to come back later; run it again then
  130  interrupted; run it again to go on
"""


@click.group(
    name="crmmap",
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(crmmap.__version__, prog_name="crmmap")
def commands() -> None:
    """Load any CRM into SQL tables: one YAML mapping per CRM, every record accounted for."""


@commands.command(epilog=MAPPING)
@several_mappings
@click.option("--stream", "-s", "streams", metavar="NAME", multiple=True,
              help="Run only this stream. May be repeated.")  # fmt: skip
@source_option
@click.option("--full", is_flag=True,
              help="Start over, even if an interrupted run could be resumed.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), metavar="N",
              help="Read at most N records per stream, from the start.")  # fmt: skip
@click.option("--max-rejects", metavar="N|P%",
              help="Stop a stream before it has more rejects: so many, or such a share of its "
              "records. Wins over the mapping.")  # fmt: skip
@click.option("--no-expect", is_flag=True,
              help="Take what comes, whatever the mapping expects of it.")  # fmt: skip
@store_option
@click.option("--dry-run", is_flag=True,
              help="Read and judge everything, and write nothing to the store.")  # fmt: skip
@click.option("--mock", is_flag=True,
              help="Read invented records from a mock; needs no setting.")  # fmt: skip
@mock_options
@settings_option
@as_json
@click.option("--quiet", "-q", is_flag=True, help="No progress on standard error.")
@click.pass_obj
def run(surroundings: Surroundings, /, **options: Any) -> ExitCode:
    """Read each MAPPING's source and load it into the store.

    Progress goes to standard error, the summary to standard output. Ctrl-C
    finishes the batch in flight; the same command then goes on from there.
    """
    from crmmap.cli.jobs import RunOrder
    from crmmap.cli.run import run_mappings

    return run_mappings(RunOrder(**options), surroundings)


@commands.command(epilog=MAPPING)
@several_mappings
@click.option("--format", "format_", type=click.Choice(["text", "json", "sarif", "github"]),
              default="text", show_default=True, help="How problems are written.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.pass_obj
def check(surroundings: Surroundings, /, **options: Any) -> ExitCode:
    """Find every problem of every MAPPING, at its line and column.

    Needs no setting and no network. Silent where all is well; exit code 2 where not.
    """
    from crmmap.cli.check import check_mappings

    format_ = "json" if options["as_json"] else options["format_"]
    return check_mappings(options["mappings"], format_, surroundings)


@commands.command(epilog=MAPPING)
@one_mapping
@click.option("--ddl", is_flag=True,
              help="Print the SQL that makes the store's tables fit instead.")  # fmt: skip
@store_option
@settings_option
@as_json
@click.pass_obj
def plan(surroundings: Surroundings, /, **options: Any) -> ExitCode:
    """Show what a run of MAPPING would do: order, requests, tables, and each field's way.

    Needs no secret and no network, but for --ddl, which looks into the store.
    Settings that are not given stand in capitals.
    """
    from crmmap.cli.plan import PlanOrder, show_plan

    return show_plan(PlanOrder(**options), surroundings)


@commands.command(epilog=MAPPING)
@several_mappings
@click.option("--stream", "-s", "streams", metavar="NAME", multiple=True,
              help="Test only this stream. May be repeated.")  # fmt: skip
@click.option("--only", type=click.Choice(["cases", "laws"]),
              help="Only the case files, or only the laws.")  # fmt: skip
@click.option("--update", is_flag=True,
              help="Write what the cases give now into their files.")  # fmt: skip
@click.option("--strict", is_flag=True, help="A mapping without a case file fails.")
@click.option("--examples", type=click.IntRange(min=1), default=25, metavar="N",
              show_default=True, help="Examples that each law is tried with.")  # fmt: skip
@click.option("--time", type=click.FloatRange(min=0), default=15.0, metavar="SECONDS",
              show_default=True, help="For the laws of one mapping; 0 for no bound.")  # fmt: skip
@click.option("--seed", type=int, metavar="N",
              help="Other examples for every number; without it, the same every time.")  # fmt: skip
@as_json
@click.option("--quiet", "-q", is_flag=True, help="No progress on standard error.")
@click.pass_obj
def test(surroundings: Surroundings, /, **options: Any) -> ExitCode:
    """Prove each MAPPING: by the cases beside it, and by laws that invented records try to break.

    Needs no setting, no network and no store. Exit code 1 where anything speaks against one.
    """
    from crmmap.cli.test import ProofOrder, prove_mappings

    return prove_mappings(ProofOrder(**options), surroundings)


@commands.command(epilog=MAPPING)
@one_mapping
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N",
              help="Port on 127.0.0.1.  [default: a free one]")  # fmt: skip
@click.option("--folder", type=click.Path(file_okay=False), metavar="PATH",
              help="Of a file source: where the files go.  [default: MAPPING-mock]")  # fmt: skip
@source_option
@mock_options
@settings_option
@click.pass_obj
def mock(surroundings: Surroundings, /, **options: Any) -> ExitCode:
    """Pretend to be the source of MAPPING, made from the mapping itself.

    Serves until Ctrl-C, and says how a real run reads from it; of a source of
    files, writes them and ends.
    """
    from crmmap.cli.mock import MockOrder, pretend

    return pretend(MockOrder(**options), surroundings)


@commands.command(epilog=MAPPING)
@one_mapping
@source_option
@click.option("--port", type=click.IntRange(0, 65535), metavar="N",
              help="Port on 127.0.0.1 where the browser comes back, in place of the one in "
              "`redirect_url`; 0 takes a free one.")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(min=1), default=300.0, show_default=True,
              metavar="SECONDS", help="How long to wait for the browser.")  # fmt: skip
@click.option("--no-browser", is_flag=True, help="Print the address, and open nothing.")
@settings_option
@click.pass_obj
def login(surroundings: Surroundings, /, **options: Any) -> ExitCode:
    """Log in to MAPPING's source, in a browser, so that runs can read from it.

    Of a mapping whose `auth` has the grant `authorization_code`. What is gained is kept,
    encrypted, in CRMMAP_TOKENS, by default with your other state.
    """
    from crmmap.cli.login import LoginOrder, log_in_to

    return log_in_to(LoginOrder(**options), surroundings)


@commands.command()
@click.pass_obj
def schema(surroundings: Surroundings) -> ExitCode:
    """Print the JSON Schema of the mapping language, for editors."""
    from crmmap.spec import mapping_schema

    surroundings.write(json.dumps(mapping_schema(), indent=2, ensure_ascii=False) + "\n")
    return ExitCode.OK


commands.add_command(rejects)
commands.add_command(state)
commands.add_command(remap)
