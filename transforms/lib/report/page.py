"""The shell of every page that Winnow writes: one file, no network, styles and scripts inside.

A page's template extends ``shell.html.j2`` and fills its block ``content``; ``parts.html.j2`` has what pages share. A
content security policy lets the page load nothing, and lets no script run but those that were put in here.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import math
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from transforms.lib.report import templates
from transforms.lib.report.terminal_text import si_bytes

FOLDER = Path(__file__).parent
CAPTION_SHOWN, CAPTION_WHOLE = 110, 500  # most characters of a caption below a picture, and when it is pointed at


def render(
    template: str,
    title: str,
    sections: Sequence[tuple[str, str]],
    *,
    scripts: Sequence[str] = (),
    explain: tuple[str, str] | None = None,
    **values: Any,
) -> str:
    """Returns a page.

    Args:
      template: file name of the template.
      title: of the page.
      sections: (id, name) of each section that the bar at the top leads to.
      scripts: file names of scripts beside ``page.js``, in the order in which they run.
      explain: what stands before and behind a uid in the command that a click on it copies.
      values: what the template needs.
    """
    css = Markup(_text("style.css"))
    run = [Markup(_text(name)) for name in ("page.js", *scripts)]
    environment = templates.environment()
    environment.filters.update(number=number, si_bytes=si_bytes, plain=shortened, count=count)
    environment.globals.update(shown=CAPTION_SHOWN, whole=CAPTION_WHOLE)
    return environment.get_template(template).render(
        title=title, sections=sections, css=css, scripts=run, policy=_policy(css, run), explain=explain, **values
    )


@functools.cache
def _text(name: str) -> str:
    return (FOLDER / name).read_text()


def _policy(css: str, scripts: Sequence[str]) -> str:
    """Returns the content security policy of a page: pictures from itself, and this style and these scripts alone."""
    listed = " ".join(digest(script) for script in scripts)
    allowed = f"img-src data:; style-src {digest(css)}; script-src {listed}"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def digest(text: str) -> str:
    """Returns the source expression of a content security policy that allows a style or a script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def shortened(text: str, limit: int) -> str:
    """Returns text safe to set among other text: one line, no control or direction characters, shortened."""
    kept = "".join(c if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co") else " " for c in text[: 4 * limit])
    line = " ".join(kept.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def number(value: float) -> str:
    """Returns a score or margin with a sign and four decimals; a dash where there is none."""
    return f"{value:+.4f}" if math.isfinite(value) else "–"


def count(value: object) -> str:
    """Returns a whole number with its thousands set apart; anything else as text."""
    return f"{value:,}" if isinstance(value, int) else str(value)
