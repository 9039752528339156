"""The process that decodes what only tensorflow-io reads: the one place that imports it (extra ``tfio``).

A process of its own, because its OpenEXR reader ends the process on a damaged file, and because TensorFlow takes
half a gigabyte that a worker without such images need not spend, and wants another protobuf than Beam's Google Cloud
extra: this file runs alone, by its path, in an environment without Winnow. ``tfio_formats`` starts it and talks to it:
requests are ``REQUEST`` and the encoded image, answers are ``ANSWER`` and pixels, or the text of an error.
"""

from __future__ import annotations

import os
import struct
import sys
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

REQUEST = struct.Struct("<16sQ")  # format, bytes that follow
ANSWER = struct.Struct("<8sIIIQ")  # dtype, or "error"; height, width, channels; bytes that follow
READY = b"winnow-ready"


def pixels_of(kind: str, data: bytes) -> NDArray[Any]:
    """Returns ``[height, width, channels]``: float32 linear light (OpenEXR, HDR), uint16 (DICOM), uint8 (JPEG 2000).

    Of several frames or parts the first counts; of OpenEXR's channels R, G and B, else Y, else the first.

    Raises:
      tensorflow.errors.OpError: the data are damaged.
    """
    import tensorflow as tf
    import tensorflow_io as tfio

    images = tfio.experimental.image
    if kind == "OpenEXR":
        names = [name.decode() for name in images.decode_exr_info(data)[2].numpy()[0]]
        wanted = "RGB" if {"R", "G", "B"} <= set(names) else ["Y" if "Y" in names else names[0]]
        return np.stack([images.decode_exr(data, 0, name, tf.float32).numpy() for name in wanted], -1)
    if kind == "HDR":
        return np.asarray(images.decode_hdr(data).numpy())
    if kind == "DICOM":
        frames = tfio.image.decode_dicom_image(data, dtype=tf.uint16, scale="preserve", on_error="strict").numpy()
        return np.asarray(frames[0])
    return np.asarray(images.decode_jp2(data, dtype=tf.uint8).numpy())


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answers requests until ``source`` ends; what else than damaged data goes wrong ends it too."""
    import tensorflow as tf

    while len(head := source.read(REQUEST.size)) == REQUEST.size:
        kind, size = REQUEST.unpack(head)
        data = source.read(size)
        try:
            pixels = np.ascontiguousarray(pixels_of(kind.rstrip(b"\0").decode(), data))
        except (tf.errors.OpError, ValueError, IndexError) as error:
            text = f"{type(error).__name__}: {error}".encode()[:300]
            sink.write(ANSWER.pack(b"error", 0, 0, 0, len(text)) + text)
        else:
            height, width, channels = pixels.shape
            sink.write(ANSWER.pack(pixels.dtype.name.encode(), height, width, channels, pixels.nbytes))
            sink.write(pixels.tobytes())
        sink.flush()


def main() -> None:
    """Serves standard input and output; what libraries print goes to standard error."""
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow_io  # noqa: F401  fails here, not at the first image

    sink.write(READY)
    sink.flush()
    serve(sys.stdin.buffer, sink)


if __name__ == "__main__":
    main()
