"""Captioned pictures of the demo's packages: what each shows, whose it is, and a caption made presentable."""

from __future__ import annotations

import dataclasses
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

BOILERPLATE = re.compile(r"gramastar|flat icon collection|\blemon\b|\btheme\b|^card$|^untitled|^drawing$|^test\b", re.I)
# keywords that say nothing about what is to be seen
_EMPTY = """
clip clipart art media png svg hash unchecked image images icon icons picture drawing public domain pd openclipart
open vector graphic graphics outline lineart line black white color colour colored bw the a an of in on and with
for to from by at is it simple cartoon symbol sign etiquette tango file misc other various theme
"""
EMPTY_WORDS = frozenset(_EMPTY.split())


@dataclasses.dataclass(frozen=True)
class Pair:
    """One picture and its words.

    Attributes:
      source: ``openclipart``, ``noto`` or ``fluent``.
      path: of the picture.
      title: cleaned.
      keywords: cleaned, without those the title has.
      author: as the picture's metadata name it, or empty.
      licence: of the picture.
    """

    source: str
    path: Path
    title: str
    keywords: tuple[str, ...]
    author: str
    licence: str

    @property
    def caption(self) -> str:
        """Title and up to five keywords."""
        return ", ".join([self.title, *self.keywords[:5]])


def words(text: str) -> list[str]:
    """Returns the content words of a text: lower case, without digits, punctuation, plural s and empty words."""
    found = re.findall(r"[a-z]+", text.lower())
    plain = [word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in found]
    return [word for word in plain if len(word) > 1 and word not in EMPTY_WORDS]


def clean_title(text: str) -> str:
    """Returns a title without markup, underscores, numbering, ``by AUTHOR`` and shouting."""
    text = html.unescape(html.unescape(re.sub(r"<[^>]+>", " ", text))).replace("_", " ")
    text = re.sub(r"\.(svg|png)$", "", text.strip(), flags=re.I)
    text = re.sub(r"\s+by\s+[\w. ]+$", "", text, flags=re.I)
    text = re.sub(r"([a-z])([A-Z])", r"\1 \2", text)
    text = re.sub(r"[\s\-#(]*\b(?:v|nr|no|number|remix|version)?\.?\s*\d+\)?$", "", text, flags=re.I)
    text = " ".join(text.split()).strip(" -,.:;")
    return text.capitalize() if text.isupper() else text


def _keywords(texts: list[str], title: str, author: str) -> tuple[str, ...]:
    known = {*words(title), *words(author)}
    found: list[str] = []
    for text in texts:
        plain = clean_title(text).lower()
        fresh = [word for word in words(plain) if word not in known]
        if fresh and len(plain) < 40 and "(0x" not in plain:
            found.append(plain)
            known.update(fresh)
    return tuple(found)


def openclipart(folder: Path) -> Iterator[Pair]:
    """Yields the pairs whose SVG says that the picture is in the public domain and has a title of its own."""
    svgs, pngs = (folder / f"openclipart-{kind}/usr/share/openclipart/{kind}" for kind in ("svg", "png"))
    for svg in sorted(svgs.rglob("*.svg")):
        png = pngs / svg.relative_to(svgs).with_suffix(".png")
        if svg.is_symlink() or png.is_symlink() or not png.exists():
            continue
        found = re.search(r"<(?:\w+:)?metadata.*?</(?:\w+:)?metadata>", svg.read_text("utf-8", "replace"), re.S)
        if found is None or "publicdomain" not in found[0].lower():
            continue
        title = clean_title(_first(r"<dc:title[^>]*>(.*?)</dc:title>", found[0]))
        author = clean_title(_first(r"<dc:creator[^>]*>.*?<dc:title[^>]*>(.*?)</dc:title>", found[0]))
        if not words(title) or BOILERPLATE.search(title) or len(title) > 80:
            continue
        texts = [html.unescape(text) for text in re.findall(r"<rdf:li[^>]*>(.*?)</rdf:li>", found[0], re.S)]
        yield Pair("openclipart", png, title, _keywords(texts, title, author), author, "public domain")


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.S)
    return found[1].strip() if found else ""


def emoji(folder: Path) -> Iterator[Pair]:
    """Yields Google's Noto emoji, and Microsoft's Fluent emoji under the same names, without skin tone variants."""
    noto = folder / "emoji-datasource-google-16.0.0/package"
    fluent = folder / "lobehub-fluent-emoji-3d-1.1.0/package/assets"
    for entry in json.loads((noto / "emoji.json").read_text()):
        title = clean_title((entry["name"] or entry["short_name"]).lower())
        texts = [*entry["short_names"], entry["subcategory"].replace("-", " ")]
        keywords = _keywords([text.replace("-", " ") for text in texts], title, "")
        if not words(title):
            continue
        if entry["has_img_google"]:
            path = noto / "img/google/64" / entry["image"]
            yield Pair("noto", path, title, keywords, "Google", "Apache-2.0")
        for code in (entry["unified"], entry["non_qualified"]):
            path = fluent / f"{(code or 'none').lower()}.webp"
            if path.exists():
                yield Pair("fluent", path, title, keywords, "Microsoft", "MIT")
                break
