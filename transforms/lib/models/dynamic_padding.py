"""Text towers whose tokens can be cut behind the longest caption of a batch, and how to run them on what is left.

In a causal tower that reads its embedding off the end-of-text token, as CLIP's own does (Radford et al. 2021, section
2.4), no token behind that one has any say. Cutting them off therefore leaves the embedding as it was, at a fifth of the
work for captions of web length. In real arithmetic the cut may be anywhere; for equal bits the shapes of the matrix
products must fall into the same pattern of registers, so lengths are rounded up to 16 tokens and batches to
64 captions.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

TOKENS = 16
"""Cut lengths are multiples of this; 8 gives differences of 4e-6 with MKL on AVX-512, 16 gives 0.0."""
CAPTIONS = 64
"""Batches of cut tokens are padded to multiples of this; 16 gives differences of 3e-6 with ViT-B-32, 48 gives 0.0."""


@dataclasses.dataclass(frozen=True, eq=False)
class CutTower:
    """A text tower that may be given fewer tokens than its context.

    Attributes:
      network: the open_clip model.
      tower: the part of it that holds the text tower's parameters; None when padding is masked instead.
      pooling: ``argmax`` or ``eos`` of a causal tower; ``mask`` when padding is masked.
      token: that ends a text (``eos``) or pads it (``mask``).
    """

    network: Any
    tower: Any
    pooling: str
    token: int

    def lengths(self, tokens: torch.Tensor) -> torch.Tensor:
        """Returns int64 ``[n]``, at least 1: how many of the tokens ``[n, context]`` have a say."""
        if self.pooling == "argmax":
            return tokens.argmax(1) + 1
        if self.pooling == "eos":
            return (tokens == self.token).int().argmax(1) + 1
        return (tokens != self.token).sum(1).clamp(min=1)

    def encode(self, tokens: torch.Tensor) -> torch.Tensor:
        """Returns ``[n, dim]``, not normalised, of tokens int64 ``[n, length]`` that may be cut.

        open_clip adds its positions and its mask in full length, so its steps are repeated here with both cut.
        """
        if self.pooling == "mask":
            whole: torch.Tensor = self.network.encode_text(tokens)
            return whole
        from open_clip.transformer import text_global_pool
        from torch import nn

        tower, length = self.tower, tokens.shape[1]
        kind = tower.transformer.get_cast_dtype()
        x = tower.token_embedding(tokens).to(kind) + tower.positional_embedding[:length].to(kind)
        x = tower.ln_final(tower.transformer(x, attn_mask=tower.attn_mask[:length, :length]))
        pooled: torch.Tensor = text_global_pool(x, tokens, self.pooling, eos_token_id=self.token)
        projection = tower.text_projection
        if projection is None:
            return pooled
        projected: torch.Tensor = projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection
        return projected


def cuttable(network: Any) -> CutTower | None:
    """Returns how to run a network's text tower on cut tokens, or None when its tokens must stay whole.

    They may be cut when attention is causal and the embedding is read at the end-of-text token (pooling ``argmax`` or
    ``eos``), and in a BERT that masks its padding and averages the rest (tinyclip). They stay whole in towers that look
    ahead (SigLIP, CLIPA, MobileCLIP-S), that read another token (CoCa's class token follows the padding), and in the
    other towers of transformers.

    Args:
      network: an open_clip model.
    """
    from open_clip.hf_model import HFTextEncoder, MeanPooler
    from open_clip.model import CLIP, CustomTextCLIP
    from open_clip.transformer import TextTransformer

    if type(network) is CLIP:
        tower, pooling, token = network, network.text_pool_type, network.text_eos_id
    elif type(network) is CustomTextCLIP and type(network.text) is TextTransformer:
        tower, pooling, token = network.text, network.text.pool_type, network.text.eos_id
        if tower.cls_emb is not None or tower.use_pad_mask or tower.output_tokens:
            return None
    elif type(network) is CustomTextCLIP and type(network.text) is HFTextEncoder:
        text = network.text
        masked = text.config.model_type == "bert" and type(text.pooler) is MeanPooler and not text.output_tokens
        return CutTower(network, None, "mask", int(text.config.pad_token_id)) if masked else None
    else:
        return None
    causal = pooling in ("argmax", "eos") and _causal(tower.attn_mask)
    return CutTower(network, tower, str(pooling), int(token)) if causal else None


def _causal(mask: torch.Tensor | None) -> bool:
    import torch

    if mask is None or mask.ndim != 2 or mask.shape[0] != mask.shape[1]:
        return False
    ahead = torch.ones_like(mask, dtype=torch.bool).triu(1)
    return bool(torch.isneginf(mask[ahead]).all() and (mask[~ahead] == 0).all())


def rounded(length: int, context: int) -> int:
    """Returns the length that tokens are cut to: the next multiple of ``TOKENS``, at most the whole context."""
    return min(context, -(-length // TOKENS) * TOKENS)


def filled(tokens: torch.Tensor, rows: int = CAPTIONS) -> torch.Tensor:
    """Returns the tokens with their last row repeated up to a multiple of ``rows``."""
    import torch

    lacking = -len(tokens) % rows
    return torch.cat([tokens, tokens[-1:].expand(lacking, -1)]) if lacking else tokens
