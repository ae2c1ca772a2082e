"""The arguments and options that several commands take."""

from __future__ import annotations

from typing import Any

import click

MAPPING = "A mapping is the path of a YAML file, or the name of one that came with crmmap."

several_mappings = click.argument("mappings", metavar="MAPPING...", nargs=-1, required=True)
one_mapping = click.argument("mapping", metavar="MAPPING")
settings_option = click.option(
    "--set", "settings", metavar="NAME=VALUE", multiple=True,
    help="Give a setting of the mapping; wins over the environment. May be repeated.",
)  # fmt: skip
store_option = click.option(
    "--store", metavar="URL",
    help="Database to load into.  [default: CRMMAP_STORE in the environment, "
    "else sqlite:///crmmap.db, or sqlite:///crmmap-mock.db of a run with --mock]",
)  # fmt: skip
source_option = click.option(
    "--source", "sources", metavar="NAME", multiple=True,
    help="Only this source, of a mapping that has several. May be repeated.",
)  # fmt: skip
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")


def mock_options(command: Any) -> Any:
    """Add the options that say what a mock invents; None where they are not given."""
    for option in (
        click.option("--dirty", type=click.FloatRange(0, 100), metavar="PERCENT",
                     help="Share of records with a fault in them.  [default: 1]"),
        click.option("--seed", type=int, metavar="N",
                     help="The same seed invents the same records.  [default: 0]"),
        click.option("--faults", type=click.FloatRange(0, 1), metavar="RATE",
                     help="Share of requests that go wrong at first, and of records that come "
                     "twice; the tables end the same.  [default: 0]"),
        click.option("--records", type=click.IntRange(min=0), metavar="N",
                     help="Invented records per stream.  [default: 100]"),
    ):  # fmt: skip
        command = option(command)
    return command
