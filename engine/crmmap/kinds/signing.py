"""Requests that are signed with a shared key, each by itself."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Annotated, ClassVar, Literal
from urllib.parse import quote, urlencode, urlsplit

from crmmap.declare import SealedText, SecretText
from crmmap.kinds.tokens import Tokens
from crmmap.values import Request, Response, Secret, as_json

PARTS = re.compile(r"\{(epoch|epoch_ms|date|iso|method|path|query|body|signature)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hmac:
    """Sign each request with a shared key (RFC 2104), anew every time it is sent.

    In `message`, and in the headers, stand `{epoch}` (seconds since 1970), `{epoch_ms}`,
    `{iso}` and `{date}` (as HTTP writes dates), `{method}`, `{path}`, `{query}` and `{body}`;
    in the headers also `{signature}`.
    """

    varies: ClassVar[bool] = True

    key: Annotated[SecretText, "The shared key."]
    message: Annotated[SealedText, 'What is signed: `"{{ settings.company }}{epoch}"`.']
    headers: Annotated[Mapping[str, SealedText], "The headers that carry the signature."]
    algorithm: Annotated[Literal["sha256", "sha512", "sha1", "md5"], "The hash."] = "sha256"
    key_encoding: Annotated[Literal["text", "base64", "hex"], "How the key is written."] = "text"
    encoding: Annotated[Literal["base64", "hex"], "How the signature is written."] = "base64"

    def flow(self, request: Request, tokens: Tokens) -> Generator[Request, Response, None]:
        parts = _parts(request, tokens.now())
        text = _filled(self.message.reveal(), parts)
        digest = hmac.new(self._key(), text.encode(), getattr(hashlib, self.algorithm)).digest()
        parts["signature"] = digest.hex() if self.encoding == "hex" else b64encode(digest).decode()
        for name, value in self.headers.items():
            request = request.with_header(name, Secret(_filled(value.reveal(), parts)))
        yield request

    def _key(self) -> bytes:
        text = self.key.reveal()
        try:
            if self.key_encoding == "base64":
                return b64decode(text, validate=True)
            return bytes.fromhex(text) if self.key_encoding == "hex" else text.encode()
        except ValueError:
            message = f"the key to sign with is not {self.key_encoding}: look at its setting"
            raise ValueError(message) from None


def _parts(request: Request, now: float) -> dict[str, str]:
    moment = datetime.fromtimestamp(now, UTC)
    return {
        "epoch": str(int(now)),
        "epoch_ms": str(int(now * 1000)),
        "iso": moment.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "date": format_datetime(moment, usegmt=True),
        "method": request.method,
        "path": urlsplit(request.url).path,
        "query": urlencode(request.params, quote_via=quote),
        "body": "" if request.body is None else as_json(request.body),
    }


def _filled(text: str, parts: Mapping[str, str]) -> str:
    return PARTS.sub(lambda found: parts.get(found[1], found[0]), text)
