"""The chunks of a PNG: its pixels without the text and the colour profile that come with them."""

from __future__ import annotations

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIDE_DATA = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP"})  # PNG, third edition, 11.3.3.3 and 11.3.2.3


def png_pixels(data: bytes) -> bytes:
    """Leaves out the chunks of a PNG that hold text or a colour profile.

    Pillow refuses an image for more than 1 MiB of unpacked text or profile, and for one that is damaged. No pixel
    depends on either as long as nobody converts colours, and no network's preprocessing does.

    Args:
      data: any bytes.

    Returns:
      the PNG without these chunks; ``data`` itself where there are none, or where it is no PNG.
    """
    if not data.startswith(SIGNATURE):
        return data
    kept, start, position = [], 0, len(SIGNATURE)
    while position + 8 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] in _SIDE_DATA:
            kept.append(data[start:position])
            start = end
        position = end
    return b"".join((*kept, data[start:])) if kept else data
