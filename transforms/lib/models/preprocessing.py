"""What a network sees of an image: open_clip's evaluation transform up to its normalisation, in named variants.

``exact`` gives the pixels of open_clip's own transform, to the bit. ``fast`` lets the JPEG decoder skip resolution that
the resizing would throw away (libjpeg's scaled inverse DCT); ``gpu`` decodes and resizes JPEGs on the device
(``gpu_decode``). Their pixels differ a little, so the variant is part of the stamp.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib.errors import InputError, Reason, SampleError
from transforms.lib.models.trained_with import PREPROCESS
from transforms.lib.stamps import stamp

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

VARIANTS = ("exact", "fast", "gpu")
SEEN = ("interpolation", "resize_mode", "fill_color", "crop_pct", "crop_mode")
"""Of a preprocessing, what decides the pixels; mean and deviation are the network's own business."""
MAX_RESIZED_PIXELS = 1 << 26  # a 1 x 50,000 pixel image would be blown up to 2.5 billion before its crop


@dataclasses.dataclass(frozen=True, eq=False)
class Preprocess:
    """The pixels that some networks want.

    Attributes:
      name: fingerprint; views of one name give the same pixels, and are made once for all networks.
      least: pixels of the shorter side (resize mode ``shortest``; else of the longer one) that a scaled decode leaves.
      longest: whether ``least`` is about the longer side.
      scaled: whether JPEGs are decoded at a fraction of their size.
    """

    name: str
    least: tuple[int, bool]
    scaled: bool
    _resize: Any
    _resize_there: Any
    _upscales: int

    def pixels(self, image: Image) -> NDArray[np.uint8]:
        """Returns uint8 ``[size, size, 3]``.

        Raises:
          SampleError: ``image_too_large`` when resizing would blow a very narrow image up beyond all memory;
            ``image_undecodable`` when the image's mode has no way to RGB.
        """
        if self.too_narrow(image.size):
            raise SampleError(Reason.IMAGE_TOO_LARGE, f"{image.width} x {image.height} is too narrow to resize")
        try:
            resized = self._resize(image)
        except (OSError, ValueError) as error:
            raise SampleError(Reason.IMAGE_UNDECODABLE, f"mode {image.mode}: {error}") from None
        return np.asarray(resized, np.uint8)

    def too_narrow(self, size: tuple[int, int]) -> bool:
        """Returns whether resizing an image of ``size``, width and height, would blow it up beyond all memory."""
        short, long = sorted(size)
        return bool(self._upscales) and self._upscales * self._upscales * long / short > MAX_RESIZED_PIXELS

    def on_device(self, image: torch.Tensor) -> torch.Tensor:
        """Returns float32 ``[n, 3, size, size]`` of RGB float32 ``[n, 3, height, width]``, 0 to 255, where that is.

        Values are not rounded, and bicubic ones may lie a little outside.
        """
        found: torch.Tensor = self._resize_there(image)
        return found


def view(preprocess: dict[str, Any], size: int | list[int], variant: str = "exact") -> Preprocess:
    """Returns the view of a network.

    Args:
      preprocess: open_clip's ``preprocess_cfg`` with every key of ``trained_with.PREPROCESS``, or with the resize mode
        ``timm`` what ``timm_model.config`` gives.
      size: of the input, in pixels.
      variant: one of ``VARIANTS``.
    """
    from torchvision.transforms import Compose

    if preprocess["resize_mode"] == "timm":
        steps, least, by_longest = _timm_steps(preprocess, size)
    else:
        steps, least, by_longest = _open_clip_steps(preprocess, size)
    return Preprocess(
        name=stamp(size=size, variant=variant, **{name: preprocess[name] for name in SEEN if name in preprocess}),
        least=(least, by_longest),
        scaled=variant == "fast",
        _resize=Compose(steps),
        _resize_there=Compose(_on_device(steps)) if variant == "gpu" else None,
        _upscales=0 if by_longest or preprocess["resize_mode"] == "squash" else least,
    )


def _open_clip_steps(preprocess: dict[str, Any], size: int | list[int]) -> tuple[list[Any], int, bool]:
    """Returns open_clip's transform up to ToTensor, the side it resizes to, and whether that is the longer one."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    known = {name: preprocess[name] for name in PREPROCESS}
    whole = image_transform_v2(PreprocessCfg(size=size, **known), is_train=False)
    return whole.transforms[:-2], size if isinstance(size, int) else max(size), preprocess["resize_mode"] == "longest"


def _timm_steps(preprocess: dict[str, Any], size: int | list[int]) -> tuple[list[Any], int, bool]:
    """Returns what timm does to an image, which its loaders turn into RGB first, in the same form."""
    from timm.data import create_transform

    side = size if isinstance(size, int) else max(size)
    names = ("mean", "std", "interpolation", "crop_pct", "crop_mode")
    whole = create_transform((3, side, side), is_training=False, **{name: preprocess[name] for name in names})
    least = math.floor(side / preprocess["crop_pct"])
    return [_rgb, *whole.transforms[:-2]], least, False


def _on_device(steps: list[Any]) -> list[Any]:
    """Returns what the steps of a transform do, for tensors of RGB.

    Raises:
      InputError: one of them has no such form.
    """
    import torch
    from open_clip.transform import ResizeKeepRatio

    found: list[Any] = []
    for step in steps:
        if isinstance(step, ResizeKeepRatio):
            found.append(functools.partial(_keep_ratio, step))
        elif isinstance(step, torch.nn.Module):
            found.append(step)
        elif step is not _rgb and type(step).__name__ != "MaybeConvertMode":
            raise InputError(f"--preprocess gpu cannot do {type(step).__name__}; use exact or fast")
    return found


def _keep_ratio(step: Any, image: torch.Tensor) -> torch.Tensor:
    """Resizes as open_clip's ``ResizeKeepRatio``, which reads the size of a Pillow image."""
    from torchvision.transforms.functional import resize

    shape = types.SimpleNamespace(size=(image.shape[-1], image.shape[-2]))
    resized: torch.Tensor = resize(image, type(step).get_params(shape, step.size, step.longest), step.interpolation)
    return resized


def _rgb(image: Image) -> Image:
    return image.convert("RGB")
