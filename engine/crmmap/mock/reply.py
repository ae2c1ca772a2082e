"""What the pretended source sends back, and how."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer, sent after `pause` seconds.

    With `cut`, only so many bytes of the body are sent, and the connection is broken.
    """

    status: HTTPStatus = HTTPStatus.OK
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    pause: float = 0.0
    cut: int | None = None


def refusal(status: HTTPStatus, message: str, **more: object) -> Reply:
    """Return an answer that says in JSON why there is none."""
    said = {"error": status.phrase, "message": message, **more}
    return Reply(status=status, body=json.dumps(said).encode())
