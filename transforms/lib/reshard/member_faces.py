"""Faces in the members of a sample: where its json says that they are, and the sample with them blurred."""

from __future__ import annotations

from transforms.lib.errors import SampleError
from transforms.lib.reshard import scored_members
from transforms.lib.reshard.shard_format import Members
from transforms.lib.samples import faces, images
from transforms.lib.samples.captions import json_of


def boxes_in(members: Members) -> list[faces.Box]:
    """Returns the boxes in the json member; the whole image where it cannot be read, as faces may be anywhere."""
    try:
        return faces.boxes_of(json_of(dict(members)).get("face_bboxes"))
    except SampleError:
        return [(0.0, 0.0, 1.0, 1.0)]


def blurred(members: Members, boxes: list[faces.Box]) -> Members:
    """Returns the members with the image blurred inside boxes.

    A second image member would show the faces all the same, so it is left out.
    """
    image, data = images.image_of(dict(members))
    changed = faces.blur(data, boxes)
    return [
        ("webp", changed) if name == image else (name, old)
        for name, old in members
        if name == image or (name not in images.IMAGE_EXTENSIONS and not scored_members.is_former_image(name))
    ]
