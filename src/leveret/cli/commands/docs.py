"""`leveret docs`: services as a document to read."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from leveret.cli.contracts import Live, Output, Targets, chosen, one_line_errors, page_of, write
from leveret.cli.options import Url
from leveret.documents.html import html
from leveret.documents.markdown import markdown

__all__ = ["CODES", "docs"]

CODES: Final = (0, 2, 3, 5, 7, 9, 10, 11, 13, 70, 130)
"""The exit codes that it can have."""


def docs(
    targets: Targets = None,
    live: Live = False,
    output: Output = None,
    as_html: Annotated[
        bool,
        typer.Option("--html", help="One page of HTML, as with an output file that ends in .html."),
    ] = False,
    url: Url = None,
) -> None:
    """Write a document of services: each method, with its types, errors, bounds and options.

    It is Markdown, or one page of HTML that loads nothing and has no script.

    Example: leveret docs shop:Shop -o shop.html
    """
    with one_line_errors():
        pages = [page_of(told) for told in chosen(targets, url, live=live)]
    is_html = as_html or (output is not None and output.suffix in {".html", ".htm"})
    write(html(pages) if is_html else markdown(pages), output)
