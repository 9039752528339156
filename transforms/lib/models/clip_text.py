"""The text side of an open_clip model: captions in batches, cut to their longest, on a CPU's threads or on a GPU."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from transforms.lib.arrays import Float32
from transforms.lib.devices.cuda_streams import Gpu
from transforms.lib.devices.devices import Workers, full_precision
from transforms.lib.devices.staging import RowLimit, queued, uploaded
from transforms.lib.models import dynamic_padding

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

TEXT_BATCH = {"cpu": 64, "cuda": 256}  # activations of 256 whole captions take 200 MB more, and no less time


@dataclasses.dataclass(eq=False, kw_only=True)
class CaptionTower:
    """A network that embeds captions, with its tokenizer.

    Attributes:
      dim: of the embeddings.
      network: the open_clip model.
      tokenize: captions -> int64 ``[n, context]``.
    """

    dim: int
    network: Any
    tokenize: Callable[[list[str]], torch.Tensor]
    _device: str
    _dtype: torch.dtype
    _cut: dynamic_padding.CutTower | None
    _workers: Workers | None = None
    _gpu: Gpu | None = None
    _tokenizing: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    _text_room: RowLimit = dataclasses.field(default_factory=RowLimit)

    def tokens(self, texts: Sequence[str]) -> torch.Tensor:
        """Returns int64 ``[n, context]``; safe to call from several threads."""
        with self._tokenizing:  # the tokenizers of transformers are not
            return self.tokenize(list(texts))

    def embed_tokens(self, tokens: Sequence[torch.Tensor]) -> Float32:
        """Returns float32 ``[n, dim]``, unit norm, one row per caption, in the order given.

        The captions are sorted by length. Where tokens behind the end of a text do not matter
        (``dynamic_padding.cuttable``), a batch is cut to its longest caption: equal embeddings for less work.

        Args:
          tokens: pieces from ``tokens``, int64 ``[_, context]``; ``n`` is the sum of their rows.
        """
        import torch

        return self._texts(torch.cat(list(tokens)), True)

    def embed_texts(self, texts: Sequence[str]) -> Float32:
        """Returns float32 ``[n, dim]``, unit norm, one row per caption, in the order given."""
        return self._texts(self.tokens(texts), True) if texts else np.zeros((0, self.dim), np.float32)

    def start_tokens(
        self, tokens: Sequence[torch.Tensor], turn: AbstractContextManager[Any]
    ) -> Callable[[], tuple[Float32, float]]:
        """Starts embedding captions; what it returns waits for what ``embed_tokens`` gives, and for GPU seconds.

        Without a GPU the work is done before it returns.

        Args:
          tokens: as for ``embed_tokens``.
          turn: held while a batch is queued for a GPU, one by one, and on a CPU until all captions are embedded.
        """
        import torch

        whole, gpu = torch.cat(list(tokens)), self._gpu
        if gpu is None:
            with turn:
                embedded = self._texts(whole, True)
            return lambda: (embedded, 0.0)
        order, batches = self._sorted(whole)
        started = []
        for batch in batches:
            with turn:
                start = functools.partial(self._uploaded_text, batch, gpu)
                started.append(queued(gpu, start)[1])

        def result() -> tuple[Float32, float]:
            parts = [one() for one in started]
            found = np.concatenate([rows for rows, _ in parts])[torch.argsort(order).numpy()]
            return found, sum(busy for _, busy in parts)

        return result

    def _uploaded_text(self, batch: torch.Tensor, gpu: Gpu) -> torch.Tensor:
        return self._text_batch(uploaded(gpu, batch), True)

    def _sorted(self, tokens: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Returns the order of captions by length, and their tokens in that order, in batches and cut."""
        import torch

        order = torch.arange(len(tokens))
        lengths = torch.full((len(tokens),), tokens.shape[1])
        if self._cut is not None:
            lengths = self._cut.lengths(tokens)
            order = torch.argsort(lengths, stable=True, descending=True)  # the long ones first: workers end together
        parts = order.split(TEXT_BATCH[self._device])
        cut = [dynamic_padding.rounded(int(lengths[rows].max()), tokens.shape[1]) for rows in parts]
        return order, [tokens[rows, :length] for rows, length in zip(parts, cut, strict=True)]

    def _texts(self, tokens: torch.Tensor, unit: bool) -> Float32:
        import torch

        def embedded(batch: torch.Tensor) -> Float32:
            with torch.inference_mode():
                found: Float32 = self._text_batch(batch, unit).cpu().numpy()
            return found

        order, batches = self._sorted(tokens)
        every: Float32 = np.concatenate(self._mapped(embedded, batches))[torch.argsort(order).numpy()]
        return every

    def _text_batch(self, tokens: torch.Tensor, unit: bool) -> torch.Tensor:
        """Returns float32 ``[n, dim]``, in pieces where the device has no room for all rows.

        Rows are filled up before they are cut, and to no more than there is room for: a piece is run as it is.
        """
        room = self._text_room
        if self._cut is not None:
            rows = min(room.rows or dynamic_padding.CAPTIONS, dynamic_padding.CAPTIONS)
            return room.run(lambda part: self._cut_batch(part, unit), dynamic_padding.filled(tokens, rows))[
                : len(tokens)
            ]
        return room.run(lambda part: self._whole_batch(part, unit), tokens)

    def _whole_batch(self, tokens: torch.Tensor, unit: bool) -> torch.Tensor:
        with self._exactly():
            whole: torch.Tensor = self.network.encode_text(tokens.to(self._device), normalize=unit).float()
        return whole

    def _cut_batch(self, tokens: torch.Tensor, unit: bool) -> torch.Tensor:
        import torch

        with self._exactly():
            embedded = cast(dynamic_padding.CutTower, self._cut).encode(tokens.to(self._device))
        return (torch.nn.functional.normalize(embedded, dim=-1) if unit else embedded).float()

    def text_features_of(self, texts: Sequence[str]) -> Float32:
        """Returns what the text tower gives, not normalised: float32 ``[n, width]``."""
        return self._texts(self.tokens(texts), False)

    def _mapped(self, work: Callable[[T], Float32], parts: Sequence[T]) -> list[Float32]:
        return self._workers.map(work, parts) if self._workers else [work(part) for part in parts]

    def _exactly(self) -> AbstractContextManager[None]:
        """Returns what fp32 on a GPU is queued in, so that it is fp32 and not TF32."""
        import torch

        full = self._device == "cuda" and self._dtype is torch.float32
        return full_precision() if full else contextlib.nullcontext()
