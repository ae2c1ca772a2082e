"""`crmmap test`: mappings proven by their case files, and by laws that records try to break."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crmmap.cli.garbage import look_for_it
from crmmap.cli.mappings import read_all, refuse_unknown_streams
from crmmap.cli.surroundings import Surroundings
from crmmap.errors import CrmmapError, ExitCode
from crmmap.prove import Asked, Tested, document, parts, prove_mapping
from crmmap.report.parts import rendered
from crmmap.report.writing import write


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofOrder:
    """What `crmmap test` was asked to do."""

    mappings: tuple[str, ...]
    streams: tuple[str, ...] = ()
    only: str | None = None
    update: bool = False
    strict: bool = False
    examples: int = 25
    time: float = 15.0
    seed: int | None = None
    as_json: bool = False
    quiet: bool = False


def prove_mappings(order: ProofOrder, surroundings: Surroundings) -> ExitCode:
    """Test every mapping and print what was found; 1 where anything speaks against one."""
    every = read_all(order.mappings)
    refuse_unknown_streams([found.mapping for found in every], order.streams)
    asked = Asked(
        streams=order.streams, cases=order.only != "laws", laws=order.only != "cases",
        update=order.update, strict=order.strict, examples=order.examples,
        seconds=order.time or None, seed=order.seed,
    )  # fmt: skip
    tell = _teller(order)
    look_for_it()
    try:
        tested = [prove_mapping(found.mapping, found.path, asked, tell) for found in every]
    except OSError as error:
        message = f"a case file can't be written: {error.strerror}"
        raise CrmmapError(message) from None
    finally:
        tell("")
    surroundings.write(_text(tested, order))
    return ExitCode.STREAM_FAILED if any(each.findings for each in tested) else ExitCode.OK


def _teller(order: ProofOrder) -> Callable[[str], None]:
    """Return what shows on a terminal's last line where testing stands."""
    if order.quiet or not sys.stderr.isatty():
        return lambda _: None
    return lambda text: write(sys.stderr, f"\r\x1b[K{text}")


def _text(tested: Sequence[Tested], order: ProofOrder) -> str:
    if order.as_json:
        documents = [document(each) for each in tested]
        whole = documents if len(order.mappings) > 1 else documents[0]
        return json.dumps(whole, indent=2) + "\n"
    return rendered(parts(tested), sys.stdout)
