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
from urllib.parse import quote, urlsplit

from crmmap.declare import SealedText, SecretText, SettingText
from crmmap.kinds.tokens import Tokens
from crmmap.values import Request, Response, Secret

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
        "query": request.query,
        "body": (request.payload or b"").decode(),
    }


def _filled(text: str, parts: Mapping[str, str]) -> str:
    return PARTS.sub(lambda found: parts.get(found[1], found[0]), text)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigV4:
    """Sign each request as Amazon Web Services want it (Signature Version 4)."""

    varies: ClassVar[bool] = True

    access_key: Annotated[SealedText, "The id of the access key."]
    secret_key: Annotated[SecretText, "The secret access key."]
    region: Annotated[SettingText, "Like `us-east-1`."]
    service: Annotated[SettingText, "Like `execute-api`."]
    session_token: Annotated[SecretText | None, "Of credentials that last for a session."] = None

    def flow(self, request: Request, tokens: Tokens) -> Generator[Request, Response, None]:
        moment = f"{datetime.fromtimestamp(tokens.now(), UTC):%Y%m%dT%H%M%SZ}"
        signed = {"host": _host(request.url), "x-amz-date": moment}
        if self.session_token is not None:
            signed["x-amz-security-token"] = self.session_token.reveal()
        digest = hashlib.sha256(request.payload or b"").hexdigest()
        if self.service == "s3":
            signed["x-amz-content-sha256"] = digest
        names = ";".join(sorted(signed))
        lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        canonical = "\n".join(
            (request.method, self._path(request), _sorted(request), lines, names, digest)
        )
        scope = f"{moment[:8]}/{self.region}/{self.service}/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{_hex(canonical)}"
        signature = hmac.new(self._key(scope), text.encode(), hashlib.sha256).hexdigest()
        for name in signed.keys() - {"host"}:  # which the client sends by itself
            request = request.with_header(name, Secret(signed[name]))
        credential = f"Credential={self.access_key.reveal()}/{scope}"
        told = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}"
        yield request.with_header("Authorization", Secret(told))

    def _path(self, request: Request) -> str:
        path = urlsplit(request.url).path or "/"
        # S3 alone takes the path as it is sent; the others quote it once more.
        return path if self.service == "s3" else quote(path)

    def _key(self, scope: str) -> bytes:
        key = f"AWS4{self.secret_key.reveal()}".encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key


def _host(url: str) -> str:
    """Return the address's host as its header has it: without the usual port."""
    parts = urlsplit(url)
    usual = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    return parts.netloc.removesuffix(usual).lower()


def _sorted(request: Request) -> str:
    pairs = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in request.params)
    return "&".join(f"{name}={value}" for name, value in pairs)


def _hex(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
