"""The fields that a source lists, asked for before their stream is read."""

from __future__ import annotations

from collections.abc import Iterator

from crmmap.errors import SourceError
from crmmap.extract.asker import Asker
from crmmap.extract.client import Client
from crmmap.extract.responses import read_responses
from crmmap.plan import Finding, FoundField, Plan, Step
from crmmap.values import Expression, Page

LONGEST = 500
MOST = 20_000
"""Fields that are listed at most, wanted or not."""


def find_fields(
    plan: Plan, step: Step, client: Client, asker: Asker | None = None
) -> tuple[FoundField, ...]:
    """Return the fields that the source lists for a stream, by name. Raises SourceError.

    A list that a rule would skip is none: its columns would be lost in silence.
    """
    asker = asker or Asker(stream=step.name, rules=step.responses)
    finding = step.finding
    if finding is None:
        return ()
    found: dict[str, FoundField] = {}
    for each in _listed(plan, step, finding, client, asker):
        known = found.setdefault(each.name, each)
        if known != each:
            raise _unusable(step, f"the field '{each.name}' is listed twice, as two types")
        if len(found) > MOST:
            raise _unusable(step, f"the list is longer than {MOST} fields. Ask for fewer")
    return tuple(found[name] for name in sorted(found))


def _listed(
    plan: Plan, step: Step, finding: Finding, client: Client, asker: Asker
) -> Iterator[FoundField]:
    spec = finding.spec
    asked = step.second(spec.request, finding.records, spec.pagination)
    try:
        for page in read_responses(plan, asked, client, None, asker=asker):
            yield from _of_page(step, finding, page)
        for why in asker.account.troubles().skips:
            message = f"there is no list: {why}"
            raise SourceError(message)
    except SourceError as error:
        if type(error) is not SourceError:
            raise
        raise _unusable(step, str(error)) from None


def _of_page(step: Step, finding: Finding, page: Page) -> Iterator[FoundField]:
    if page.refused:
        raise SourceError("an item of the list is no object")
    for item in page.records:
        name = _text(finding.spec.name, item)
        kind = _text(finding.spec.type, item)
        if not name:
            message = f"an item of the list has no name at '{finding.spec.name.text}'"
            raise SourceError(message)
        if not (name + kind).isprintable() or len(name + kind) > LONGEST:
            message = "an item of the list has a name or a type that is too long, or can't be shown"
            raise SourceError(message)
        yield FoundField(name=name, type=kind)


def _text(expression: Expression, item: object) -> str:
    try:
        found = expression.find(item)
    except ValueError as error:
        raise SourceError(str(error)) from None
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""


def _unusable(step: Step, what: str) -> SourceError:
    return SourceError(f"fields_from: {what}; nothing of '{step.name}' was read")
