"""The pictures of the mini DataComp: icon sets, emoji of several makers, clip art, photographs; each with a title."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from demo import assets, pairs, pictures

SIDE_PX = 96
# package -> sha256 of its .tgz; each holds icons.json (SVG bodies by name) and info.json (licence)
ICONS = {
    "circle-flags-1.2.11": "ee9a03f6a6fdd79cc6325bdcb7bb93b83d331e60b16e226188f154a64b6bb4a9",
    "emojione-1.2.3": "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e",
    "emojione-v1-1.2.3": "6641d59d48a42823fdc2b84e7427e9f302944eb98d2c7d94d6e67c139e7b37b3",
    "flat-color-icons-1.2.3": "d8878a9b0f02d749bc8671eb7d47882eb711185cbcefbb365cbfb488773c4786",
    "fluent-emoji-flat-1.2.6": "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    "game-icons-1.2.4": "f5758efb34d91c4f50b941f355f16ee73938625e5996fabc25171288404460a4",
    "meteocons-1.2.4": "1c0b49c6375c0e35c3ed65db6e41e9811a0cbd2368c13ee27f870f60c6185ff0",
    "noto-1.2.9": "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
    "openmoji-1.2.29": "03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5",
    "twemoji-1.2.5": "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
}
STAMPS = "tuxpaint-stamps-default_2022.06.04-1_all.deb"
STAMPS_SHA256 = "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34"
POOL = ("twemoji", "openmoji", "emojione", "emojione-v1", "flat-color-icons", "meteocons", "game-icons")
LABELLED = "fluent-emoji-flat"
EVALUATION = "noto"
_VARIANT = re.compile(
    r"skin-tone|-(light|medium-light|medium|medium-dark|dark)$|^u\d|^\d+$|^(code|wind-beaufort|uv-index)-"
)


class Picture(NamedTuple):
    """A picture and its words.

    Attributes:
      source: the package that it is of.
      data: encoded, on white, at most ``SIDE_PX`` wide and high.
      title: what it shows, in lower case.
      caption: title, and keywords where the package has some.
    """

    source: str
    data: bytes
    title: str
    caption: str


def fetch(folder: Path) -> Path:
    """Downloads and unpacks the packages that are absent, and checks each against its sha256; returns where they lie.

    Raises:
      SystemExit: a download failed, or a file is not the pinned one.
    """
    unpacked = assets.fetch(folder)
    for name, pinned in ICONS.items():
        path = folder / f"iconify-json-{name}.tgz"
        package, _, version = name.rpartition("-")
        _download(["npm", "pack", "--silent", f"@iconify-json/{package}@{version}"], path, pinned)
        if not (unpacked / name).exists():
            with tarfile.open(path) as archive:
                archive.extractall(unpacked / name, filter="data")
    _download(["apt-get", "download", STAMPS.replace("_all.deb", "").replace("_", "=")], folder / STAMPS, STAMPS_SHA256)
    if not (unpacked / "tuxpaint").exists():
        subprocess.run(["dpkg-deb", "-x", str(folder / STAMPS), str(unpacked / "tuxpaint")], check=True)
    return unpacked


def _download(command: list[str], path: Path, pinned: str) -> None:
    if not path.exists() and subprocess.run(command, cwd=path.parent, check=False, stdout=2).returncode:
        raise SystemExit(f"proof: `{' '.join(command)}` failed; is the package index within reach?")
    if hashlib.sha256(path.read_bytes()).hexdigest() != pinned:
        raise SystemExit(f"proof: {path} is not the pinned file; delete it and try again")


def plain(name: str) -> str:
    """Returns the name of an icon as a title: ``flag-for-flag-burundi`` is ``flag burundi``."""
    words = re.sub(r"[-_]+", " ", name.lower())
    words = re.sub(r"\bflag (for )?(flag )?", "flag ", words)
    words = re.sub(r" (fill|alt|\d+)$", "", words)
    return " ".join(words.split())


def icons(folder: Path, package: str) -> Iterator[Picture]:
    """Yields the icons of a package without variants of skin, in the order of their names, one per title."""
    from vl_convert import svg_to_png

    name = next(one for one in ICONS if one.rpartition("-")[0] == package)
    found = json.loads((folder / name / "package/icons.json").read_text())
    seen: set[str] = set()
    for icon, drawing in sorted(found["icons"].items()):
        title = plain(icon)
        if _VARIANT.search(icon) or title in seen or not pairs.words(title):
            continue
        seen.add(title)
        width, height = (drawing.get(side, found.get(side, 16)) for side in ("width", "height"))
        box = f"{drawing.get('left', 0)} {drawing.get('top', 0)} {width} {height}"
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'width="{SIDE_PX}" height="{SIDE_PX}" viewBox="{box}">{drawing["body"]}</svg>'
        )
        try:
            image = Image.open(io.BytesIO(svg_to_png(svg)))
        except ValueError:  # a body that the renderer does not take
            continue
        yield Picture(package, on_white(image), title, title)


def on_white(image: Image.Image) -> bytes:
    """Returns a picture as JPEG, on white."""
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    flat = white.convert("RGB")
    flat.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    return pictures.encode(flat)


def clip_art(folder: Path) -> Iterator[Picture]:
    """Yields openclipart's pictures with a title of their own."""
    for pair in pairs.openclipart(folder):
        image = pictures.open_white(pair.path)
        if image is not None:
            yield Picture("openclipart", on_white(image), pair.title.lower(), pair.caption.lower())


def stamps(folder: Path) -> Iterator[Picture]:
    """Yields Tux Paint's stamps: cut-outs of photographs and drawings with an English caption; no letters."""
    root = folder / "tuxpaint/usr/share/tuxpaint/stamps"
    for path in sorted(root.rglob("*.png")):
        words = path.with_suffix(".txt")
        if "alphabet" in str(path) or path.name.endswith("_mirror.png") or not words.exists():
            continue
        caption = words.read_text("utf-8", "replace").splitlines()[0].strip().lower().rstrip(".")
        image = pictures.open_white(path)
        if image is not None and pairs.words(caption):
            yield Picture("tuxpaint", on_white(image), caption, caption)
