"""The image of a sample: which member it is, and pixels or a named reason."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Mapping

from PIL import GifImagePlugin, Image, ImageFile, ImageFilter, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from transforms.lib.errors import Notice, Reason, SampleError
from transforms.lib.samples import decode_limits, depths, isolated, tfio_formats
from transforms.lib.samples.image_formats import IMAGE_EXTENSIONS as IMAGE_EXTENSIONS
from transforms.lib.samples.image_formats import is_jpeg, looks_like_image, reader_of
from transforms.lib.samples.png import png_pixels

DEFAULT_MAX_PIXELS = 89_478_485
"""A quarter of a GiB at three bytes per pixel; Pillow's own default limit."""

# What Pillow's readers raise on damaged data. Warning: where the process turns warnings into errors.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    EOFError,
    RuntimeError,
    Warning,
    struct.error,
    zlib.error,
)

# The filters of the warnings module belong to the process: one thread at a time may set them aside.
_WARNINGS_LOCK = threading.Lock()
_IMAGE_NAMES = frozenset(IMAGE_EXTENSIONS)
_WARNING_READERS = (GifImagePlugin.GifImageFile, PngImagePlugin.PngImageFile)


def image_of(members: Mapping[str, bytes], member: str = "", notices: set[Notice] | None = None) -> tuple[str, bytes]:
    """Picks the image of a sample.

    It is the first member in the order of ``IMAGE_EXTENSIONS``. Where no member has such a name it is the one whose
    name ends in one (``input.jpg``), or else the one whose bytes are those of an image (``img``).

    Args:
      members: data by lower-case extension, as in ``RawSample.members``.
      member: extension of the member that is the image, and no other; empty where the rule above is to find it.
      notices: gets ``IMAGE_MEMBER`` when the image has another name than usual, and ``SEVERAL_IMAGES`` when the rule
        chose among several; None where nobody counts them.

    Returns:
      Extension and encoded bytes.

    Raises:
      SampleError: ``IMAGE_MISSING``: there is none, or there are several with other names.
    """
    for extension in (member,) if member else IMAGE_EXTENSIONS:
        if extension in members:
            if notices is not None and not member and len(_IMAGE_NAMES & members.keys()) > 1:
                notices.add(Notice.SEVERAL_IMAGES)
            return extension, members[extension]
    found = [] if member else _other_images(members)
    if len(found) == 1:
        if notices is not None:
            notices.add(Notice.IMAGE_MEMBER)
        return found[0], members[found[0]]
    what = "several images, " if found else f"no .{member}, " if member else ""
    raise SampleError(Reason.IMAGE_MISSING, f"{what}members: {', '.join(sorted(members))[:200] or 'none'}")


def _other_images(members: Mapping[str, bytes]) -> list[str]:
    """Returns the extensions of members that are images by the end of their name; else those by their first bytes."""
    by_name = [name for name in members if name.rpartition(".")[2] in IMAGE_EXTENSIONS]
    return by_name or [name for name, data in members.items() if looks_like_image(name, data)]


def decode(
    data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS, others: str = "", notices: set[Notice] | None = None
) -> Image.Image:
    """Decodes the first frame of a JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, PNM or JPEG 2000; the content decides which.

    Thread-safe; changes no setting of Pillow and lets no warning of Pillow out.

    Args:
      data: the encoded image.
      max_pixels: width times height allowed; checked in the header, before any pixel is decoded.
      others: python of an environment with tensorflow-io, which decodes OpenEXR, Radiance HDR and DICOM
        (``tfio_formats``); empty to reject them.
      notices: gets ``IMAGE_DEPTH`` for more than 8 bits per channel, and ``IMAGE_METADATA`` for a PNG with text or a
        colour profile that Pillow refuses; its pixels do not depend on them.

    Returns:
      A fully loaded image, width and height at least 1, in the mode it is stored in (the model's own
      transform converts), but of 8 bits per channel (``depths``).

    Raises:
      SampleError: ``IMAGE_TOO_LARGE``; ``IMAGE_TOO_COSTLY`` (``decode_limits``); or ``IMAGE_UNDECODABLE`` for another
        format, damaged or cut data; the detail names the hint where there is one.
    """
    return _decoded(data, None, max_pixels, others, notices)[0]


def decode_scaled(
    data: bytes,
    least: tuple[int, bool],
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    others: str = "",
    notices: set[Notice] | None = None,
) -> tuple[Image.Image, tuple[int, int]]:
    """Decodes as ``decode``, but a JPEG at the least of 1/8, 1/4, 1/2 or all of its size that is large enough.

    libjpeg then computes fewer values of each block's inverse cosine transform, and reads all of the data.

    Args:
      data: the encoded image.
      least: pixels that the shorter side keeps, or, when the second value is True, the longer side.
      max_pixels: as for ``decode``, of the whole image.
      others: as for ``decode``.
      notices: as for ``decode``.

    Returns:
      The image, and width and height as stored.

    Raises:
      SampleError: as ``decode``.
    """
    return _decoded(data, least, max_pixels, others, notices)


def kind_of(data: bytes) -> str:
    """Returns the format of an image by its first bytes: ``jpeg``, ``png``, ``openexr`` ...; or ``unknown``."""
    reader = reader_of(data)
    name = str(reader.format) if reader else tfio_formats.kind_of(data) or "unknown"
    return name.lower().replace(" ", "")


def jpeg_header(data: bytes) -> tuple[str, tuple[int, int]] | None:
    """Returns Pillow's mode, and width and height in pixels, of a JPEG by its header; None for anything else."""
    if not is_jpeg(data):
        return None
    try:
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    except _DECODE_ERRORS:
        return None
    return image.mode, image.size


def _decoded(
    data: bytes, least: tuple[int, bool] | None, max_pixels: int, others: str, notices: set[Notice] | None
) -> tuple[Image.Image, tuple[int, int]]:
    reader = reader_of(data)
    if reader is None:
        if kind := tfio_formats.kind_of(data):
            return _by_others(kind, data, max_pixels, others)
        what = f"no known image format: {data[:16]!r}" if data else "the image has no bytes"
        raise SampleError(Reason.IMAGE_UNDECODABLE, what)
    if reader.format in isolated.FORMATS:
        image = isolated.decode(reader.format, data, max_pixels, lambda size: decode_limits.memory(size, max_pixels))
        _check_size(*image.size, max_pixels)
        return _noted(image, notices), image.size
    try:
        read = _read(reader, data, least, max_pixels)
    except SampleError as error:
        pixels = png_pixels(data) if error.reason is Reason.IMAGE_UNDECODABLE else data
        if len(pixels) == len(data):
            raise
        try:
            read = _read(reader, pixels, least, max_pixels)
        except SampleError:
            raise error from None
        if notices is not None:
            notices.add(Notice.IMAGE_METADATA)
    return _noted(read[0], notices), read[1]


def _noted(image: Image.Image, notices: set[Notice] | None) -> Image.Image:
    """Returns the image, and notes when it had more than 8 bits."""
    if notices is not None and depths.SCALED in image.info:
        notices.add(Notice.IMAGE_DEPTH)
    return image


def _read(
    reader: type[ImageFile.ImageFile], data: bytes, least: tuple[int, bool] | None, max_pixels: int
) -> tuple[Image.Image, tuple[int, int]]:
    try:
        if reader is WebPImagePlugin.WebPImageFile and (size := decode_limits.webp_size(data)):
            _check_size(*size, max_pixels)
            with decode_limits.memory(_area(size) * decode_limits.WEBP_BYTES, max_pixels):
                return _opened(reader, data).copy(), size  # a copy, for the reader holds its decoder while it lives
        each = decode_limits.check_scans(data) if is_jpeg(data) else decode_limits.bytes_per_pixel(str(reader.format))
        image = _opened(reader, data)
        width, height = image.size
        _check_size(width, height, max_pixels)
        decode_limits.check_plain(data, width, height, max_pixels)
        if least is not None and isinstance(image, JpegImagePlugin.JpegImageFile):
            side = max(width, height) if least[1] else min(width, height)
            scale = next((k for k in (8, 4, 2) if side // k >= least[0]), 1)
            image.draft("", (max(1, width // scale), max(1, height // scale)))
        stored = "" if isinstance(image, JpegImagePlugin.JpegImageFile) else depths.stored_as(image)
        with decode_limits.memory(_area(image.size) * each, max_pixels):
            image.load()
            return (depths.eight_bits(image, stored) if stored else image), (width, height)
    except Image.DecompressionBombError as error:
        raise SampleError(Reason.IMAGE_TOO_LARGE, str(error)) from error
    except _DECODE_ERRORS as error:
        raise SampleError(Reason.IMAGE_UNDECODABLE, f"{type(error).__name__}: {error}"[:300]) from error


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise SampleError(Reason.IMAGE_TOO_LARGE, f"{width} x {height} pixels, allowed {max_pixels}")
    if width < 1 or height < 1:
        raise SampleError(Reason.IMAGE_UNDECODABLE, f"{width} x {height} pixels")


def _by_others(kind: str, data: bytes, max_pixels: int, others: str) -> tuple[Image.Image, tuple[int, int]]:
    if not others:
        raise SampleError(Reason.IMAGE_UNDECODABLE, f"{kind}, which Pillow does not read; {tfio_formats.HINT}")
    _check_size(*tfio_formats.size_of(kind, data), max_pixels)
    image = tfio_formats.decode(kind, data, others)
    if image.mode != "RGB":
        image = depths.stretched(image)
    return image, image.size


def thumbnail(data: bytes, side_px: int = 160, *, blurred: bool = False) -> bytes:
    """Makes a small JPEG on a white background for reports.

    Args:
      data: the encoded image.
      side_px: longest side of the result in pixels; smaller images are not enlarged.
      blurred: nothing smaller than a tenth of the longest side can be told.

    Returns:
      JPEG bytes, equal for equal input and Pillow version.

    Raises:
      SampleError: as ``decode``.
    """
    image = decode(data)
    try:
        image = image.convert("RGBA")
        image.thumbnail((side_px, side_px))
        page = Image.new("RGB", image.size, "white")
        page.paste(image, mask=image.getchannel("A"))
        if blurred:
            page = page.filter(ImageFilter.GaussianBlur(max(image.size) / 10))
        stored = io.BytesIO()
        page.save(stored, "JPEG", quality=85)
    except _DECODE_ERRORS as error:
        raise SampleError(Reason.IMAGE_UNDECODABLE, f"{type(error).__name__}: {error}"[:300]) from error
    return stored.getvalue()


def _opened(reader: type[ImageFile.ImageFile], data: bytes) -> ImageFile.ImageFile:
    # Image.open would compare the size with a limit of the whole process and warn; the reader does not.
    if reader not in _WARNING_READERS:
        return reader(io.BytesIO(data))
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return reader(io.BytesIO(data))
