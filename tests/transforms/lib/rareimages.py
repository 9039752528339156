"""Files of formats that few write, made by hand from their specifications."""

import io
import struct

import numpy as np
from PIL import Image


def exr(light, names="BGR"):
    """Returns an uncompressed OpenEXR file of float32 ``[h, w, c]`` linear light, given in RGB order."""

    def attribute(name, kind, data):
        return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(data)) + data

    height, width, _ = light.shape
    channels = b"".join(name.encode() + b"\0" + struct.pack("<iBBBBii", 2, 0, 0, 0, 0, 1, 1) for name in names) + b"\0"
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    head = struct.pack("<ii", 20000630, 2) + attribute("channels", "chlist", channels)
    head += attribute("compression", "compression", b"\0") + attribute("dataWindow", "box2i", box)
    head += attribute("displayWindow", "box2i", box) + attribute("lineOrder", "lineOrder", b"\0")
    head += attribute("pixelAspectRatio", "float", struct.pack("<f", 1))
    head += attribute("screenWindowCenter", "v2f", bytes(8)) + attribute("screenWindowWidth", "float", bytes(4)) + b"\0"
    order = [("RGB" if "R" in names else "Y").index(name) for name in names]
    rows = [b"".join(light[y, :, c].astype("<f4").tobytes() for c in order) for y in range(height)]
    rows = [struct.pack("<ii", y, len(row)) + row for y, row in enumerate(rows)]
    starts = np.cumsum([len(head) + 8 * height, *map(len, rows)])[:-1]
    return head + starts.astype("<u8").tobytes() + b"".join(rows)


def hdr(width, height):
    """Returns a Radiance file of light (1, 1/2, 1/4) everywhere, not run-length encoded."""
    head = f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {height} +X {width}\n".encode()
    return head + bytes([128, 64, 32, 129]) * (width * height)


def dicom(grey):
    """Returns a DICOM file, explicit little endian, of uint16 ``[h, w]``."""

    def element(group, number, kind, data):
        data += b"\0" * (len(data) % 2)
        size = struct.pack("<HI", 0, len(data)) if kind == b"OW" else struct.pack("<H", len(data))
        return struct.pack("<HH", group, number) + kind + size + data

    kind = b"1.2.840.10008.5.1.4.1.1.7"  # secondary capture
    meta = element(2, 2, b"UI", kind) + element(2, 3, b"UI", b"1.2.3") + element(2, 16, b"UI", b"1.2.840.10008.1.2.1")
    shape = [(2, 1), (0x10, grey.shape[0]), (0x11, grey.shape[1]), (0x100, 16), (0x101, 16), (0x102, 15), (0x103, 0)]
    body = element(8, 0x16, b"UI", kind)
    numbers = [(0x28, number, b"US", struct.pack("<H", value)) for number, value in shape]
    for one in sorted([*numbers, (0x28, 4, b"CS", b"MONOCHROME2")]):
        body += element(*one)
    body += element(0x7FE0, 0x10, b"OW", grey.astype("<u2").tobytes())
    return bytes(128) + b"DICM" + element(2, 0, b"UL", struct.pack("<I", len(meta))) + meta + body


def picture(width, height):
    """Returns a seeded picture."""
    cells = np.random.default_rng(0).integers(0, 255, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(cells, "RGB").resize((width, height), Image.Resampling.BICUBIC)


def jpeg_2000(width, height):
    """Returns a lossless JPEG 2000 of ``picture``."""
    sink = io.BytesIO()
    picture(width, height).save(sink, "JPEG2000")
    return sink.getvalue()
