"""What the process stands in: its environment, its outputs, and the secrets it must not tell."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crmmap.values import Secret


@dataclass(slots=True, kw_only=True)
class Surroundings:
    """Made once per process, and handed to every command.

    `secrets` grows as plans are made; every error's text passes `clean`.
    """

    environment: Mapping[str, str]
    secrets: list[Secret] = field(default_factory=list)

    def clean(self, text: str) -> str:
        """Return the text without any secret that is known by now."""
        from crmmap.redact import Redactor

        return Redactor(self.secrets).clean(text)

    def write(self, text: str) -> None:
        """Write a command's result on standard output. Raises CrmmapError where it can't be."""
        from crmmap.report.writing import write_result

        write_result(sys.stdout, text)

    def warn(self, text: str) -> None:
        """Write a message for people on standard error, without secrets."""
        from crmmap.report.wording import printable
        from crmmap.report.writing import write

        write(sys.stderr, f"{printable(self.clean(text))}\n")
