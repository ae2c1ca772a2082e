"""Reads the streams of an HTTP API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from crmmap.events import NO_TROUBLES, Troubles
from crmmap.extract.asker import Account, Asker
from crmmap.extract.client import Client
from crmmap.extract.found import find_fields
from crmmap.extract.kept import page_of_documents
from crmmap.extract.partitions import read_parts
from crmmap.extract.request import Context
from crmmap.extract.responses import read_responses
from crmmap.extract.spool import Asked, Spool, Spooled
from crmmap.plan import FoundField, Plan, Step
from crmmap.redact import Clean
from crmmap.select.jmespath import JmespathSelector, with_cells
from crmmap.values import Page, Start


@dataclass(frozen=True, slots=True)
class HttpReader:
    """Reads the streams of an HTTP API."""

    plan: Plan
    client: Client
    accounts: dict[str, Account] = field(default_factory=dict)
    spool: Spool = field(default_factory=Spool)

    def pages(self, step: Step, start: Start) -> Iterator[Page]:
        exact = step.selector.exact
        for page in read_parts(self.plan, step, start, self._part):
            yield with_cells(exact, page) if isinstance(exact, JmespathSelector) else page

    def _part(self, step: Step, context: Context, position: str | None) -> Iterator[Page]:
        asked, asker = self._asked(step), self._asker(step)
        return read_responses(self.plan, step, asked, position, context, asker)

    def _asker(self, step: Step) -> Asker:
        account = self.accounts.setdefault(step.name, Account())
        return Asker(stream=step.name, rules=step.responses, account=account)

    def _asked(self, step: Step) -> Asked:
        keeps = any(other.pages_of == step.name for other in self.plan.steps)
        if not keeps and step.pages_of is None:
            return self.client
        return Spooled(self.client, self.spool, keeps)

    def troubles(self, step: Step) -> Troubles:
        account = self.accounts.get(step.name)
        return account.troubles() if account is not None else NO_TROUBLES

    def absent(self, step: Step) -> str | None:
        return None

    def fields(self, step: Step) -> tuple[FoundField, ...]:
        return find_fields(self.plan, step, self.client, self._asker(step))

    def share(self, step: Step, page: Page) -> float | None:
        return None

    def parse(self, step: Step, raws: list[str]) -> Page:
        return page_of_documents(raws)

    @property
    def clean(self) -> Clean | None:
        return self.client.clean if self.client.has_secrets else None

    def close(self) -> None:
        self.client.close()
        self.spool.close()
