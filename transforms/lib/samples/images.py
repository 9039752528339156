"""The image of a sample: which member it is, and pixels or a named reason."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Mapping

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)

from transforms.lib.errors import Notice, Reason, SampleError
from transforms.lib.samples import depths, tfio_formats
from transforms.lib.samples.png import png_pixels

PILLOWS = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tiff", "tif", "avif", "ppm", "pgm", "pbm", "pnm", "jp2", "j2k")
"""Extensions of what Pillow reads."""
IMAGE_EXTENSIONS = (*PILLOWS, "exr", "hdr", "dcm")
"""Extensions of image members; of a sample with several, the first in this order is its image."""

DEFAULT_MAX_PIXELS = 89_478_485
"""A quarter of a GiB at three bytes per pixel; Pillow's own default limit."""

_JPEG = b"\xff\xd8\xff"

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
_WARNING_READERS = (GifImagePlugin.GifImageFile, PngImagePlugin.PngImageFile, TiffImagePlugin.TiffImageFile)


def image_of(members: Mapping[str, bytes]) -> tuple[str, bytes]:
    """Picks the image of a sample.

    Args:
      members: data by lower-case extension, as in ``RawSample.members``.

    Returns:
      Extension and encoded bytes of the first member in the order of ``IMAGE_EXTENSIONS``.

    Raises:
      SampleError: ``IMAGE_MISSING``.
    """
    for extension in IMAGE_EXTENSIONS:
        if extension in members:
            return extension, members[extension]
    raise SampleError(Reason.IMAGE_MISSING, f"members: {', '.join(sorted(members))[:200] or 'none'}")


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
      SampleError: ``IMAGE_TOO_LARGE``, or ``IMAGE_UNDECODABLE`` for another format, damaged or cut data; the detail
        names the hint where there is one.
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
    reader = _reader_of(data)
    name = str(reader.format) if reader else tfio_formats.kind_of(data) or "unknown"
    return name.lower().replace(" ", "")


def is_jpeg(data: bytes) -> bool:
    """Returns whether an image is a JPEG by its first bytes: the only format that ``decode_scaled`` scales."""
    return data.startswith(_JPEG)


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
    reader = _reader_of(data)
    if reader is None:
        if kind := tfio_formats.kind_of(data):
            return _by_others(kind, data, max_pixels, others)
        what = f"no known image format: {data[:16]!r}" if data else "the image has no bytes"
        raise SampleError(Reason.IMAGE_UNDECODABLE, what)
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
    if notices is not None and depths.SCALED in read[0].info:
        notices.add(Notice.IMAGE_DEPTH)
    return read


def _read(
    reader: type[ImageFile.ImageFile], data: bytes, least: tuple[int, bool] | None, max_pixels: int
) -> tuple[Image.Image, tuple[int, int]]:
    try:
        image = _opened(reader, data)
        width, height = image.size
        _check_size(width, height, max_pixels)
        if least is not None and isinstance(image, JpegImagePlugin.JpegImageFile):
            side = max(width, height) if least[1] else min(width, height)
            scale = next((k for k in (8, 4, 2) if side // k >= least[0]), 1)
            image.draft("", (max(1, width // scale), max(1, height // scale)))
        stored = "" if isinstance(image, JpegImagePlugin.JpegImageFile) else depths.stored_as(image)
        _load(image)
        return (depths.eight_bits(image, stored) if stored else image), (width, height)
    except Image.DecompressionBombError as error:
        raise SampleError(Reason.IMAGE_TOO_LARGE, str(error)) from error
    except _DECODE_ERRORS as error:
        raise SampleError(Reason.IMAGE_UNDECODABLE, f"{type(error).__name__}: {error}"[:300]) from error


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


def thumbnail(data: bytes, side_px: int = 160) -> bytes:
    """Makes a small JPEG on a white background for reports.

    Args:
      data: the encoded image.
      side_px: longest side of the result in pixels; smaller images are not enlarged.

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
        stored = io.BytesIO()
        page.save(stored, "JPEG", quality=85)
    except _DECODE_ERRORS as error:
        raise SampleError(Reason.IMAGE_UNDECODABLE, f"{type(error).__name__}: {error}"[:300]) from error
    return stored.getvalue()


def _reader_of(data: bytes) -> type[ImageFile.ImageFile] | None:
    """The one reader for these bytes; Pillow's other readers (EPS, PDF, ...) never see them."""
    if is_jpeg(data):
        return JpegImagePlugin.JpegImageFile
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImagePlugin.PngImageFile
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return WebPImagePlugin.WebPImageFile
    if data.startswith((b"GIF87a", b"GIF89a")):
        return GifImagePlugin.GifImageFile
    if data.startswith(b"BM"):
        return BmpImagePlugin.BmpImageFile
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return TiffImagePlugin.TiffImageFile
    if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis", b"mif1", b"msf1"):
        return AvifImagePlugin.AvifImageFile
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        return PpmImagePlugin.PpmImageFile
    if data.startswith(tfio_formats.JPEG_2000) and features.check("jpg_2000"):
        return Jpeg2KImagePlugin.Jpeg2KImageFile
    return None


def _opened(reader: type[ImageFile.ImageFile], data: bytes) -> ImageFile.ImageFile:
    # Image.open would compare the size with a limit of the whole process and warn; the reader does not.
    if reader not in _WARNING_READERS:
        return reader(io.BytesIO(data))
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return reader(io.BytesIO(data))


def _load(image: ImageFile.ImageFile) -> None:
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        image.load()
        return
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image.load()
