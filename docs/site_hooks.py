"""Hooks of the site: pages that no menu names get one, and links to files that are no page become their path."""

import re
from pathlib import Path

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+)([^)#]+)(#[^)]*)?\)")


def on_config(config):
    """Adds pages that ``nav`` does not name to the guides, so that a new page is never lost."""
    named = set(re.findall(r"[\w/-]+\.md", str(config.nav)))
    pages = {path.relative_to(config.docs_dir).as_posix() for path in Path(config.docs_dir).rglob("*.md")}
    (guides,) = [part["Guides"] for part in config.nav if "Guides" in part]
    guides += sorted(pages - named)
    return config


def on_page_markdown(markdown, page, config, files):
    """Returns a page whose links out of ``docs/`` are text with the path."""
    depth = page.file.src_uri.count("/") + 1

    def path(found):
        words, ups, target = found[1], found[2].count("../"), found[3]
        return found[0] if ups < depth else f"{words} (`{target}` in the repository)"

    return _OUTSIDE.sub(path, markdown)
