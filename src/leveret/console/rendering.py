"""Makes HTML of what pages show, by the templates beside this file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from leveret.console import drawing

__all__ = ["STATIC", "TRACE_ID", "Pages", "with_changes"]

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
"""Where the style, the script and the picture are."""
TRACE_ID: Final = "{trace_id}"
"""What stands for the id of a trace in the URL of one."""


class Pages:
    """Renders templates.

    :param trace_link: the URL of a trace, with "{trace_id}" in it; "" if there is none.
    :param common: what all templates get.
    """

    def __init__(self, trace_link: str = "", **common: object) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        for name in drawing.__all__:
            self._environment.filters[name] = getattr(drawing, name)
        self._environment.filters["path"] = lambda text: quote(str(text), safe="")
        self._environment.filters["trace_url"] = lambda text: trace_link.replace(
            TRACE_ID, quote(str(text), safe="")
        )
        self._environment.globals.update(common, trace_link=trace_link)

    def render(
        self, request: Request, template: str, *, status: int = 200, **values: object
    ) -> HTMLResponse:
        """A page."""

        def query(**changes: object) -> str:
            return with_changes(request.query_params, changes)

        text = self._environment.get_template(template).render(
            base=request.scope.get("root_path", ""),
            asked=request.query_params,
            query=query,
            now=time.time(),
            page=template.removesuffix(".html"),
            **values,
        )
        return HTMLResponse(text, status_code=status)

    def missing(self, request: Request, text: str) -> HTMLResponse:
        """The page that says what is not there."""
        return self.render(request, "missing.html", status=404, text=text)


def with_changes(asked: Mapping[str, str], changes: Mapping[str, object]) -> str:
    """The query of a URL with some changes; None and "" take something out of it."""
    merged = {**asked, **changes}
    return "?" + urlencode({key: its for key, its in merged.items() if its not in (None, "")})
