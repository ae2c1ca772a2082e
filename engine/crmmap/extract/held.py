"""What is asked for beside a page and held together with it: no more than one answer may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from crmmap.extract.asker import Asker
from crmmap.extract.body import BadBody
from crmmap.extract.spool import Asked
from crmmap.values import Request, Response

Decoded = TypeVar("Decoded")


@dataclass(slots=True, kw_only=True)
class Held:
    """Asks a client, until the answers have more than `most` bytes together."""

    client: Asked
    most: int
    came: int = 0

    def read(
        self, request: Request, decode: Callable[[Response], Decoded], asker: Asker | None = None
    ) -> tuple[Response, Decoded]:
        response, decoded = self.client.read(request, decode, asker)
        self.came += len(response.body)
        if self.came > self.most:
            message = (
                f"what belongs to the records of one page is longer than {self.most} bytes; ask "
                "for smaller pages, or raise the source's max_body"
            )
            raise BadBody(message, again=False)
        return response, decoded

    def is_secret(self, text: str) -> bool:
        return self.client.is_secret(text)

    def tells(self, text: str) -> bool:
        return self.client.tells(text)
