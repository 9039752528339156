"""The formats of images: extensions of members, and the one reader for the first bytes of a file."""

from __future__ import annotations

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)

from transforms.lib.samples import tfio_formats

PILLOWS = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tiff", "tif", "avif", "ppm", "pgm", "pbm", "pnm", "jp2", "j2k")
"""Extensions of what Pillow reads."""
IMAGE_EXTENSIONS = (*PILLOWS, "exr", "hdr", "dcm")
"""Extensions of image members; of a sample with several, the first in this order is its image."""

_EXTENSION_OF: dict[type[ImageFile.ImageFile], str] = {
    JpegImagePlugin.JpegImageFile: "jpg",
    PngImagePlugin.PngImageFile: "png",
    WebPImagePlugin.WebPImageFile: "webp",
    GifImagePlugin.GifImageFile: "gif",
    BmpImagePlugin.BmpImageFile: "bmp",
    TiffImagePlugin.TiffImageFile: "tiff",
    AvifImagePlugin.AvifImageFile: "avif",
    PpmImagePlugin.PpmImageFile: "ppm",
    Jpeg2KImagePlugin.Jpeg2KImageFile: "jp2",
}
_TEXTS = frozenset({"txt", "json", "cls", "cap", "caption", "text"})  # last parts of extensions that no image has
_JPEG = b"\xff\xd8\xff"
_LOOKED_AT = 32  # bytes at the start of a file that tell its format


def is_jpeg(data: bytes) -> bool:
    """Returns whether an image is a JPEG by its first bytes: the only format that ``decode_scaled`` scales."""
    return data.startswith(_JPEG)


def reader_of(data: bytes) -> type[ImageFile.ImageFile] | None:
    """Returns the one reader for these bytes; None for none. Pillow's others (EPS, PDF, ...) never see them."""
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


def looks_like_image(extension: str, data: bytes) -> bool:
    """Returns whether a member whose name does not tell is an image, by its first bytes.

    A BMP begins with two letters and a portable map with a letter and a digit, as texts do too: the first must have a
    zero byte in its header, and the second needs a name.
    """
    if extension.rpartition(".")[2] in _TEXTS:
        return False
    head = data[:_LOOKED_AT]
    reader = reader_of(head)
    if reader is BmpImagePlugin.BmpImageFile:
        return b"\0" in head
    return reader is not None and reader is not PpmImagePlugin.PpmImageFile


def plain_extension(extension: str, data: bytes) -> str:
    """Returns the extension under which loaders look for an image: the last part of its own, or that of its format."""
    last = extension.rpartition(".")[2]
    if last in IMAGE_EXTENSIONS:
        return last
    reader = reader_of(data)
    return _EXTENSION_OF[reader] if reader else extension
