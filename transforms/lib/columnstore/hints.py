"""How to get a column that a recipe reads and the store lacks."""

from __future__ import annotations

from transforms.lib import registry

_IMPORT = "bring it in from a table with `winnow import-scores`"
_MODEL = f"score with that network under this name (`winnow score --model {{}}=SPEC`), or {_IMPORT}"
_HYPE = f"HYPE (arXiv:2404.17507) computes it; {_IMPORT}"
_OF = {
    **{name: f"`winnow annotate --columns {name}` adds it" for name in registry.ANNOTATORS},
    "clip_b32": _MODEL.format("clip_b32"),
    "clip_l14": _MODEL.format("clip_l14"),
    "dfn_base": _MODEL.format("dfn_base"),
    "dfn_ft": _MODEL.format("dfn_ft"),
    "cc2m_classifier": f"the log-odds of a linear classifier of CC2M against the pool; {_IMPORT}",
    "in1k_classifier": f"the log-odds of a linear classifier of ImageNet-1k against the pool; {_IMPORT}",
    "flyt": f"`winnow train-flyt` trains a FLYT head and `winnow score-flyt` adds its score, or {_IMPORT}",
    "normsim_inf": f"`winnow annotate --columns normsim_inf --target FILE` adds it, or {_IMPORT}",
    "negclip": f"`winnow annotate --columns negclip` adds it, or {_IMPORT}",
    "hype_distance": _HYPE,
    "hype_image_specificity": _HYPE,
    "hype_text_specificity": _HYPE,
}
_OTHER = "`winnow score` adds a model's, `winnow score-flyt` a FLYT head's, `winnow import-scores` others"


def hint_for(name: str) -> str:
    """Returns how to get a column: what ``annotate`` adds, the twelve that M-FLYT mixes, or any other.

    Args:
      name: ``set.column`` or a bare name.
    """
    return _OF.get(name.partition(".")[0], _OTHER)
