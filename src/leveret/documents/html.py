"""Services as one page of HTML that needs nothing else: no script, no font, no picture.

Its own policy (Content-Security-Policy) lets nothing in but its style, by its hash.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from html import escape
from typing import Final

from leveret.documents.pages import Member, MethodPage, ServicePage, TypePage
from leveret.documents.tables import filled

__all__ = ["POLICY", "html"]

_STYLE: Final = """
:root { color-scheme: light dark; --text: #1d2330; --dim: #5d6677; --line: #dde1e8;
  --back: #ffffff; --soft: #f5f6f9; --accent: #0b62c4; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e8f0; --dim: #98a2b5; --line: #303744;
  --back: #14171d; --soft: #1d222b; --accent: #7db5ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
nav { position: fixed; inset: 0 auto 0 0; width: 17rem; overflow: auto; padding: 1.25rem 1rem;
  background: var(--soft); border-right: 1px solid var(--line); }
nav ul { list-style: none; margin: .25rem 0 1.25rem; padding: 0; }
nav li { overflow-wrap: anywhere; }
nav a { display: block; padding: .12rem .5rem; border-radius: .35rem; color: var(--text);
  font-size: .9rem; }
nav a:hover, nav a:focus-visible { background: var(--line); text-decoration: none; }
nav .service { font-weight: 650; }
main { margin-left: 17rem; padding: 2rem clamp(1rem, 4vw, 4rem) 6rem; max-width: 68rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
h1 { font-size: 1.9rem; margin: 0 0 .5rem; } h2 { font-size: 1.3rem; margin: 0; }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .25rem; }
h1, h2, h3 { line-height: 1.25; scroll-margin-top: 1rem; overflow-wrap: anywhere; }
section.service + section.service { margin-top: 5rem; }
article { border-top: 1px solid var(--line); margin-top: 2.25rem; padding-top: 1.75rem; }
code, pre { font: .875rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: .5rem;
  padding: .75rem 1rem; overflow-x: auto; }
.about { white-space: pre-line; margin: .5rem 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; font-size: .925rem; }
th { text-align: left; font-weight: 600; color: var(--dim); font-size: .8rem; }
th, td { padding: .35rem 1rem .35rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
.error { color: var(--dim); } .dim { color: var(--dim); }
@media (max-width: 50rem) { nav { position: static; width: auto; border-right: 0;
  border-bottom: 1px solid var(--line); } nav ul { columns: 2; }
  main { margin-left: 0; padding-top: 1.25rem; } }
@media print { nav { display: none; } main { margin: 0; max-width: none; } }
"""
POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none';"
    f" style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
)
"""What the page lets in."""


def html(services: Sequence[ServicePage]) -> str:
    """A page of services, with a list of what is on it."""
    title = escape(", ".join(service.name for service in services) or "no services")
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
            '<nav aria-label="Contents">',
            *(line for service in services for line in _contents(service)),
            "</nav>\n<main>",
            *(line for service in services for line in _service(service)),
            "</main>\n</body>\n</html>\n",
        )
    )


def _contents(service: ServicePage) -> Iterator[str]:
    yield f'<a class="service" href="#{_anchor(service.name)}">{escape(service.name)}</a>\n<ul>'
    for method in service.methods:
        yield f'<li><a href="#{_anchor(method.key)}">{escape(method.name)}</a></li>'
    for kind in service.types:
        link = _anchor(f"{service.name}-{kind.name}")
        yield f'<li><a class="dim" href="#{link}">{escape(kind.name)}</a></li>'
    yield "</ul>"


def _service(service: ServicePage) -> Iterator[str]:
    yield f'<section class="service">\n<h1 id="{_anchor(service.name)}">{escape(service.name)}</h1>'
    yield from _about(service.about)
    if service.servers is not None:
        rows = ((escape(it.name), _code(it.instance)) for it in service.servers)
        yield from _table(("served by", "instance"), rows)
    for method in service.methods:
        yield from _method(service.name, method)
    for kind in service.types:
        anchor = _anchor(f"{service.name}-{kind.name}")
        yield f'<article>\n<h2 id="{anchor}">{escape(kind.name)}</h2>'
        yield from _type(kind)
        yield "</article>"
    yield "</section>"


def _method(service: str, method: MethodPage) -> Iterator[str]:
    yield f'<article>\n<h2 id="{_anchor(method.key)}">{escape(method.key)}</h2>'
    yield f"<pre><code>{escape(method.signature)}</code></pre>"
    yield from _about(method.about)
    if method.parameters:
        yield from _members("parameter", method.parameters)
    result = method.result
    told = ", ".join(escape(text) for text in (result.bounds, result.about) if text)
    what = "Gives items of" if method.streams else "Returns"
    yield f"<p>{what} {_code(result.type)}{f', {told}' if told else ''}</p>"
    for error in method.errors:
        yield f"<h3>Raises {_code(error.name)} <span class=error>{_code(error.code)}</span></h3>"
        yield from _type(error)
    if method.types:
        links = (
            f'<a href="#{_anchor(f"{service}-{name}")}">{escape(name)}</a>' for name in method.types
        )
        yield f"<p>Types: {', '.join(links)}</p>"
    yield from _table(
        ("option", ""), ((escape(name), escape(text)) for name, text in method.options)
    )
    yield "</article>"


def _type(kind: TypePage) -> Iterator[str]:
    yield from _about(kind.about)
    if kind.values:
        yield f"<p>One of {', '.join(map(_code, kind.values))}</p>"
    if kind.members:
        yield from _members("field", kind.members)


def _members(what: str, members: Iterable[Member]) -> Iterator[str]:
    rows = (
        (
            _code(it.name),
            _code(it.type),
            "" if it.default is None else _code(it.default),
            escape(it.bounds),
            escape(it.about),
        )
        for it in members
    )
    yield from _table((what, "type", "default", "bounds", ""), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    names, table = filled(head, rows)
    if names:
        titles = "".join(f"<th>{escape(name)}</th>" for name in names)
        yield f'<div class="wide"><table>\n<tr>{titles}</tr>'
        for row in table:
            yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
        yield "</table></div>"


def _about(text: str) -> Iterator[str]:
    if text:
        yield f'<p class="about">{escape(text)}</p>'


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _anchor(name: str) -> str:
    """What a link can lead to."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)
