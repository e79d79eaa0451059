"""Any endpoint that speaks OpenAI's /v1/embeddings: OpenAI, Ollama, vLLM, TEI, LM Studio."""

from __future__ import annotations

import asyncio
import base64
import logging
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from memplane_adapters.contract import EmbeddingIdentity, Vector
from memplane_gateway.embedders.base import EmbedderError, EmbedderReason, Role, unit_vectors
from memplane_gateway.embedders.cache import CACHE_BYTES

if TYPE_CHECKING:
    import httpx

_LOG: Final = logging.getLogger(__name__)
_CONNECT_SECONDS: Final = 5.0
_CONNECTIONS: Final = 32
_LOGGED_CHARACTERS: Final = 300
# What reading JSON of another form than expected can raise.
_MALFORMED: Final = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
)


class OpenAISettings(BaseModel):
    """Settings of the embedder `openai`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    provider: Literal["openai"] = "openai"
    base_url: str = Field(
        default="https://api.openai.com/v1",
        description="Address of the endpoint, without /embeddings.",
        examples=["https://api.openai.com/v1"],
    )
    model: str = Field(
        min_length=1, description="Name of the model.", examples=["text-embedding-3-small"]
    )
    dimension: int = Field(
        ge=1,
        le=65_536,
        description="Numbers in a vector of the model; checked on every answer.",
        examples=[1536],
    )
    api_key: SecretStr | None = Field(
        default=None,
        description="Sent as a bearer token; absent: none is sent.",
        examples=["env:OPENAI_API_KEY"],
    )
    timeout_seconds: float = Field(
        default=10.0,
        gt=0.0,
        le=600.0,
        allow_inf_nan=False,
        description="For one request, from connecting to the last byte.",
    )
    send_dimensions: bool = Field(
        default=False,
        description="Whether to ask the model for vectors of `dimension` numbers. Few models can "
        "shorten theirs, and many endpoints refuse the field.",
    )
    max_batch: int = Field(default=128, ge=1, le=2_048, description="Most texts in one request.")
    max_batch_bytes: int = Field(
        default=256 * 1024,
        ge=1,
        le=2**30,
        description="Most bytes of the texts in one request; a longer text goes alone.",
    )
    max_parallel: int = Field(
        default=4, ge=1, le=32, description="Most requests under way at a time, for each role."
    )
    cache_bytes: int = CACHE_BYTES

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("base_url is not like http://host:port/v1")
        if parts.username or parts.password:
            raise ValueError("base_url holds a password; it belongs into api_key")
        if parts.query or parts.fragment:
            raise ValueError("base_url ends with a path, without ? and #")
        return url.rstrip("/")

    @field_validator("api_key")
    @classmethod
    def _check_api_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is None:
            return None
        text = key.get_secret_value().strip()
        if not text:
            raise ValueError("api_key is empty; leave it out where the endpoint needs none")
        if not (text.isascii() and text.isprintable()):
            raise ValueError("api_key holds characters that cannot be sent in an HTTP header")
        return SecretStr(text)


class OpenAIEmbedder:
    """Asks the endpoint, in batches, one after the other."""

    knows_meaning: Final = True
    accepts_text: Final = True
    tells_roles: Final = False
    notice: Final = ""

    def __init__(self, settings: OpenAISettings) -> None:
        self._settings: Final = settings
        self.identity: Final = EmbeddingIdentity("openai", settings.model, settings.dimension)
        self._url: Final = f"{settings.base_url}/embeddings"
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # base64 is a quarter of the bytes; None until the endpoint has shown whether it takes it.
        self._base64: bool | None = None

    async def open(self) -> None:
        """Nothing to begin: connections are made when they are used."""

    async def embed(self, texts: Sequence[str], role: Role = Role.MEMORY) -> list[Vector | None]:  # noqa: ARG002
        """None for a text of blanks, which endpoints refuse."""
        made: list[Vector | None] = [None] * len(texts)
        asked = [place for place, text in enumerate(texts) if text.strip()]
        for start in range(0, len(asked), self._settings.max_batch):
            places = asked[start : start + self._settings.max_batch]
            rows = await self._request([texts[place] for place in places])
            for place, vector in zip(places, unit_vectors(rows), strict=True):
                made[place] = vector
        return made

    async def close(self) -> None:
        """Closes the connections, where their event loop still is this one."""
        client, loop = self._client, self._loop
        self._client = self._loop = None
        if client is not None and loop is asyncio.get_running_loop():
            await client.aclose()

    async def _request(self, texts: list[str]) -> npt.NDArray[np.float64]:
        response = await self._post(texts, in_base64=self._base64 is not False)
        if response.status_code in {400, 422} and self._base64 is None:
            # It may be the encoding that is not understood, and may be the texts.
            response = await self._post(texts, in_base64=False)
            if response.is_success:
                self._base64 = False
        elif response.is_success and self._base64 is None:
            self._base64 = True
        if not response.is_success:
            raise self._refusal(response)
        return self._rows(response, len(texts))

    async def _post(self, texts: list[str], *, in_base64: bool) -> httpx.Response:
        import httpx

        body: dict[str, Any] = {
            "model": self._settings.model,
            "input": texts,
            "encoding_format": "base64" if in_base64 else "float",
        }
        if self._settings.send_dimensions:
            body["dimensions"] = self._settings.dimension
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                return await self._connection().post(self._url, json=body)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise self._error(
                f"did not answer in {self._settings.timeout_seconds:g} seconds", retryable=True
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self._error("cannot be reached", retryable=True) from error

    def _connection(self) -> httpx.AsyncClient:
        import httpx

        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            # Connections belong to the event loop that they were made in.
            key = self._settings.api_key
            headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
            seconds = self._settings.timeout_seconds
            # Both roles at once: a search is not to wait for a connection of a bulk load.
            most = max(_CONNECTIONS, 2 * self._settings.max_parallel)
            self._client = httpx.AsyncClient(
                headers=headers,
                timeout=httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS)),
                limits=httpx.Limits(max_connections=most, max_keepalive_connections=most // 2),
            )
            self._loop = loop
        return self._client

    def _refusal(self, response: httpx.Response) -> EmbedderError:
        status = response.status_code
        code = self._log(response)
        match status:
            case 401 | 403:
                says, reason = "refuses the api_key", EmbedderReason.MISCONFIGURED
            case 404:
                says = f"knows no model {self._settings.model!r}, or base_url is wrong"
                reason = EmbedderReason.MISCONFIGURED
            case 429 if code == "insufficient_quota":
                says, reason = "says that the quota is used up", EmbedderReason.MISCONFIGURED
            case 429:
                says, reason = "is asked too often", EmbedderReason.EXHAUSTED
            case 400 | 413 | 422:
                says = "does not take these texts (too long?) or the model"
                reason = EmbedderReason.REFUSED
            case _ if status >= 500 or status in {408, 425}:
                says, reason = "is out of order", EmbedderReason.UNAVAILABLE
            case _:
                says, reason = "answers otherwise than expected", EmbedderReason.MISCONFIGURED
        retryable = reason in {EmbedderReason.UNAVAILABLE, EmbedderReason.EXHAUSTED}
        return self._error(
            f"{says} (HTTP {status})",
            reason=reason,
            retryable=retryable,
            retry_after=_retry_after(response) if retryable else None,
        )

    def _log(self, response: httpx.Response) -> str:
        """Logs what the provider says, without the key; returns the provider's code for it."""
        said = _said(response)
        text = f"{said.get('code')}: {said.get('message')}"
        if key := self._settings.api_key:
            text = text.replace(key.get_secret_value(), "***")
        _LOG.warning(
            "embedder %s at %s: HTTP %d, %s",
            *(self.identity, self._url, response.status_code, text[:_LOGGED_CHARACTERS]),
        )
        return str(said.get("code"))

    def _rows(self, response: httpx.Response, count: int) -> npt.NDArray[np.float64]:
        try:
            data = response.json()["data"]
            rows = {item.get("index", place): item for place, item in enumerate(data)}
            found = [_numbers(rows[place]["embedding"]) for place in range(len(data))]
        except _MALFORMED as error:
            raise self._nonsense("does not answer in the form of OpenAI's endpoint") from error
        if len(found) != count:
            raise self._nonsense(f"gave {len(found)} vectors for {count} texts")
        for row in found:
            if row.shape != (self._settings.dimension,):
                # Callers get to read this one, so it does not say where the endpoint is.
                raise EmbedderError(
                    f"the model {self._settings.model!r} gives vectors of {len(row)} numbers, but "
                    f"the setting `dimension` says {self._settings.dimension}",
                    reason=EmbedderReason.DIMENSION,
                )
        made = np.stack(found)
        if not np.isfinite(made).all():
            raise self._nonsense("gave a vector with a number that is not finite")
        return made

    def _nonsense(self, says: str) -> EmbedderError:
        return self._error(says, reason=EmbedderReason.PROTOCOL)

    def _error(
        self,
        says: str,
        *,
        reason: EmbedderReason = EmbedderReason.UNAVAILABLE,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> EmbedderError:
        return EmbedderError(
            f"the embedding endpoint {self._url} {says}",
            reason=reason,
            retryable=retryable,
            retry_after=retry_after,
        )


def _numbers(embedding: Any) -> npt.NDArray[np.float64]:
    """One vector, in whichever of the two forms; some endpoints ignore what was asked for."""
    if isinstance(embedding, str):
        packed = base64.b64decode(embedding, validate=True)
        return np.frombuffer(packed, dtype="<f4").astype(np.float64)
    row = np.asarray(embedding, dtype=np.float64)
    if row.ndim != 1:
        raise ValueError(row.shape)
    return row


def _said(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return {}
    inner = body.get("error", body) if isinstance(body, dict) else body
    return (
        inner if isinstance(inner, dict) else {"message": inner if isinstance(inner, str) else ""}
    )


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds, from either form of the header."""
    text = response.headers.get("Retry-After", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
