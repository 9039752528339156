"""The page of ``winnow browse``: a form, and cards of samples; it needs no script."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from transforms.lib.report import page, templates


def render(**values: Any) -> tuple[str, str]:
    """Returns the page, and the content security policy that it is sent with.

    Args:
      values: what the template needs.
    """
    css = Markup((page.FOLDER / "style.css").read_text())
    environment = templates.environment()
    environment.filters.update(plain=page.shortened, count=page.count)
    text = environment.get_template("browse.html.j2").render(css=css, **values)
    policy = f"default-src 'none'; img-src 'self' data:; style-src {page.digest(css)}; form-action 'self'"
    return text, f"{policy}; base-uri 'none'; frame-ancestors 'none'"
