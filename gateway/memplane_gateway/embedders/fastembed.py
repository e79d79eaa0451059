"""A model in this process, by fastembed and onnxruntime: no server, no key, one download.

The package is an extra, and is imported when such an embedder is configured.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal, Self

import numpy as np
import numpy.typing as npt
import platformdirs
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from memplane_adapters.contract import EmbeddingIdentity, Vector
from memplane_gateway.embedders.base import EmbedderError, EmbedderReason, Role, unit_vectors
from memplane_gateway.embedders.cache import CACHE_BYTES

if TYPE_CHECKING:
    from fastembed import TextEmbedding

_LOG: Final = logging.getLogger(__name__)
INSTALL: Final = 'pip install "memplane-gateway[fastembed]"'
_LOADING_SECONDS: Final = 10.0
"""How long a call waits for the model; a download may take minutes."""
_STILL_LOADING_SECONDS: Final = 1.0
_LOAD_AGAIN_SECONDS: Final = 30.0
_AT_ONCE: Final = 16
"""Texts in one run of the model, which computes each as long as the longest of them."""


def _default_cache_dir() -> Path:
    try:
        return Path(platformdirs.user_cache_dir("memplane", appauthor=False)) / "fastembed"
    except RuntimeError:  # an account without an entry, and no HOME
        return Path("~")


class FastEmbedSettings(BaseModel):
    """Settings of the embedder `fastembed`. Refused where the package is not installed."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    needs: ClassVar[tuple[str, ...]] = ("fastembed",)
    """Modules that its extra brings."""

    provider: Literal["fastembed"] = "fastembed"
    model: str = Field(
        default="BAAI/bge-small-en-v1.5",
        min_length=1,
        description="Name of a model that fastembed knows.",
        examples=["BAAI/bge-small-en-v1.5"],
    )
    dimension: int = Field(
        default=384,
        ge=1,
        le=65_536,
        description="Numbers in a vector of the model; checked.",
        examples=[384],
    )
    model_path: Path | None = Field(
        default=None,
        description="Directory with the model's files; absent: they are downloaded once.",
    )
    cache_dir: Path = Field(
        default_factory=_default_cache_dir, description="Where downloaded models are kept."
    )
    threads: int | None = Field(
        default=None, ge=1, le=1_024, description="Threads of one run; absent: one a core."
    )
    max_batch: int = Field(
        default=64, ge=1, le=2_048, description="Most texts that are embedded in one go."
    )
    cache_bytes: int = CACHE_BYTES

    @field_validator("provider")
    @classmethod
    def _package_is_installed(cls, provider: str) -> str:
        if find_spec("fastembed") is None:
            raise ValueError(f"the package fastembed is not installed: {INSTALL}")
        return provider

    @field_validator("model_path", "cache_dir")
    @classmethod
    def _path_is_absolute(cls, path: Path | None) -> Path | None:
        try:
            path = None if path is None else path.expanduser()
        except RuntimeError:
            raise ValueError("no home directory is known; write the whole path") from None
        if path is not None and not path.is_absolute():
            raise ValueError("is not absolute; write the whole path, or one with ~")
        return path

    @model_validator(mode="after")
    def _model_is_known(self) -> Self:
        from fastembed import TextEmbedding

        known = {each["model"]: each["dim"] for each in TextEmbedding.list_supported_models()}
        if self.model not in known:
            near = get_close_matches(self.model, known, n=1)
            hint = f' (did you mean "{near[0]}"?)' if near else ""
            raise ValueError(f"fastembed knows no model {self.model!r}{hint}")
        if known[self.model] != self.dimension:
            raise ValueError(_other_dimension(self.model, known[self.model], self.dimension))
        return self


class FastEmbedder:
    """Runs the model in a thread of its own, one batch after the other."""

    knows_meaning: Final = True
    accepts_text: Final = True
    tells_roles: Final = True
    notice: Final = ""

    def __init__(self, settings: FastEmbedSettings) -> None:
        self._settings: Final = settings
        self.identity: Final = EmbeddingIdentity("fastembed", settings.model, settings.dimension)
        self._loading: Future[TextEmbedding] | None = None
        self._worker: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Begins to load the model, and to download it where it is not there yet."""
        self._load()

    async def embed(self, texts: Sequence[str], role: Role = Role.MEMORY) -> list[Vector | None]:
        """None for a text of blanks. What is longer than the model takes is cut off."""
        made: list[Vector | None] = [None] * len(texts)
        asked = [place for place, text in enumerate(texts) if text.strip()]
        if not asked:
            return made
        model = await self._loaded()
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="memplane-fastembed")
        rows = await asyncio.get_running_loop().run_in_executor(
            self._worker, self._rows, model, [texts[place] for place in asked], role
        )
        for place, vector in zip(asked, unit_vectors(rows), strict=True):
            made[place] = vector
        return made

    async def close(self) -> None:
        """Lets go of the model; a batch under way comes to its end in the background."""
        worker, self._worker, self._loading = self._worker, None, None
        if worker is not None:
            worker.shutdown(wait=False, cancel_futures=True)

    # --- the model ---

    def _load(self) -> Future[TextEmbedding]:
        if self._loading is None:
            loading: Future[TextEmbedding] = Future()
            # A daemon: a download that hangs must not hold up the end of the process.
            threading.Thread(
                target=_load, args=(self._settings, loading), name="memplane-model", daemon=True
            ).start()
            self._loading = loading
        return self._loading

    async def _loaded(self) -> TextEmbedding:
        loading = self._load()
        loaded = asyncio.wrap_future(loading)
        loaded.add_done_callback(_heard)
        if not (await asyncio.wait({loaded}, timeout=_LOADING_SECONDS))[0]:
            raise EmbedderError(
                f"the model {self._settings.model!r} is still being loaded or downloaded",
                reason=EmbedderReason.UNAVAILABLE,
                retryable=True,
                retry_after=_STILL_LOADING_SECONDS,
            )
        try:
            return loaded.result()
        except EmbedderError:
            if self._loading is loading:
                self._loading = None  # the next call tries again
            raise

    def _rows(self, model: TextEmbedding, texts: list[str], role: Role) -> npt.NDArray[np.float64]:
        embed = model.query_embed if role is Role.QUERY else model.passage_embed
        # Texts of one length together.
        places = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        made = np.zeros((len(texts), self._settings.dimension))
        try:
            found = list(embed([texts[place] for place in places], batch_size=_AT_ONCE))
        except Exception as error:
            _LOG.exception("fastembed failed", extra={"model": self._settings.model})
            raise EmbedderError(
                f"the model {self._settings.model!r} failed; the log has why",
                reason=EmbedderReason.PROTOCOL,
            ) from error
        for place, row in zip(places, found, strict=True):
            if row.shape != (self._settings.dimension,):
                raise EmbedderError(
                    _other_dimension(self._settings.model, row.size, self._settings.dimension),
                    reason=EmbedderReason.DIMENSION,
                )
            made[place] = row
        if not np.isfinite(made).all():
            raise EmbedderError(
                f"the model {self._settings.model!r} gave a number that is not finite",
                reason=EmbedderReason.PROTOCOL,
            )
        return made


def _heard(loaded: asyncio.Future[TextEmbedding]) -> None:
    """Keeps asyncio from complaining about a failure that came when nobody waited any more."""
    if not loaded.cancelled():
        loaded.exception()


def _load(settings: FastEmbedSettings, loading: Future[TextEmbedding]) -> None:
    loading.set_running_or_notify_cancel()
    try:
        model = _from_disk(settings) if settings.model_path else _from_cache(settings)
    except EmbedderError as error:
        _LOG.error(error.message, extra={"cause": str(error.__cause__)})
        loading.set_exception(error)
    except BaseException as error:  # noqa: BLE001 (goes to those who wait)
        loading.set_exception(error)
    else:
        _LOG.info("model loaded", extra={"model": settings.model})
        loading.set_result(model)


def _from_disk(settings: FastEmbedSettings) -> TextEmbedding:
    try:
        return _model(settings)
    except Exception as error:
        raise EmbedderError(
            f"the model {settings.model!r} cannot be loaded from {settings.model_path}",
            reason=EmbedderReason.MISCONFIGURED,
        ) from error


def _from_cache(settings: FastEmbedSettings) -> TextEmbedding:
    try:
        return _model(settings, local_files_only=True)
    except Exception:  # noqa: BLE001 (whatever is wrong with what is there: it is downloaded)
        _LOG.info(
            "model is being downloaded",
            extra={"model": settings.model, "directory": str(settings.cache_dir)},
        )
    try:
        return _model(settings)
    except Exception as error:
        raise EmbedderError(
            f"the model {settings.model!r} is not in {settings.cache_dir} and cannot be downloaded",
            reason=EmbedderReason.UNAVAILABLE,
            retryable=True,
            retry_after=_LOAD_AGAIN_SECONDS,
        ) from error


def _model(settings: FastEmbedSettings, *, local_files_only: bool = False) -> TextEmbedding:
    from fastembed import TextEmbedding
    from loguru import logger

    # It logs to stderr in a form of its own; what it says goes where all else goes.
    logger.remove()
    level = "CRITICAL" if local_files_only else "WARNING"  # no file yet is no news
    logger.add(_logged, level=level, format="{message}", filter="fastembed")
    return TextEmbedding(
        settings.model,
        cache_dir=str(settings.cache_dir),
        threads=settings.threads,
        local_files_only=local_files_only,
        specific_model_path=str(settings.model_path) if settings.model_path else None,
    )


def _logged(message: str) -> None:
    _LOG.warning("fastembed: %s", message.strip())


def _other_dimension(model: str, gives: int, configured: int) -> str:
    return (
        f"the model {model!r} gives vectors of {gives} numbers, but the setting `dimension` says "
        f"{configured}"
    )
