"""The site of the documents: its pages, its navigation, and the checks that `make docs` makes.

`make docs` builds it, which takes a minute. These tests build nothing.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.test_exports import PUBLIC
from website import checks, llms, reference, search
from website.places import NoPlace, for_site, place
from website.sources import pages, public_names, read_nav


def test_every_page_is_in_the_navigation_and_the_other_way_round() -> None:
    nav = read_nav()
    assert len(set(nav)) == len(nav)
    assert set(nav) == pages().keys(), "mkdocs.yml has a nav of other pages"


def test_every_public_name_is_on_one_page_of_the_reference() -> None:
    names = public_names()
    told = [name for _, _, members in reference.SUBJECTS.values() for name in members]
    assert sorted(told) == sorted(names["leveret"])
    assert {module: sorted(of_it) for module, of_it in names.items()} == {
        module: sorted(of_it) for module, of_it in PUBLIC.items()
    }


def test_links_lead_to_where_their_targets_stand_in_the_site() -> None:
    text = "[a](docs/errors.md#busy), [b](CHANGELOG.md), [c](https://x.example), [d](#why)\n"
    assert for_site(text, "README.md") == (
        "[a](errors.md#busy), [b](project/changelog.md), [c](https://x.example), [d](#why)\n"
    )
    back = for_site("[start](../README.md#why) [errors.md](errors.md)", "docs/calling.md")
    assert back == "[start](index.md#why) [Errors](errors.md)"
    image = for_site('<img src="docs/images/console-method.png">', "README.md")
    assert image == '<img src="images/console-method.png">'


def test_links_in_code_are_left_alone() -> None:
    code = "```md\n[a](docs/errors.md)\n```\n"
    assert for_site(code, "README.md") == code


def test_a_link_to_a_file_that_the_site_does_not_have_is_refused() -> None:
    with pytest.raises(NoPlace, match=r"README\.md links to src/leveret/errors\.py"):
        for_site("[a](src/leveret/errors.py)", "README.md")


def test_a_file_of_an_example_stands_on_the_page_of_its_folder() -> None:
    assert place("examples/tutorial") == "examples/tutorial.md"
    assert place("examples/tutorial/rpc_server.py") == "examples/tutorial.md#file-rpc-server-py"


def test_the_search_shows_titles_without_the_anchors_that_they_are_given() -> None:
    title = '{"title": "<code>shop.py</code> { #file-shop-py }", "text": "{ x }"}'
    assert search.mended(title) == '{"title": "<code>shop.py</code>", "text": "{ x }"}'


def test_llms_txt_names_every_page_and_what_leveret_is() -> None:
    texts = pages()
    files = llms.files({path: texts[path] for path in read_nav()})
    assert files["llms.txt"].startswith("# Leveret\n\n> Leveret is typed RPC over RabbitMQ")
    assert all(f"]({path})" in files["llms.txt"] for path in read_nav())
    assert "## NoServer" in files["llms-full.txt"]


SITE = {
    "index.html": '<link rel="stylesheet" href="a.css"><a href="b.html#there">b</a>',
    "b.html": '<h1 id="there">b</h1><a href="https://x.example">only a click asks for it</a>',
    "a.css": "@font-face { src: url(font.woff2) }",
}


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("b.html", '<script src="https://x.example/a.js"></script>', "b.html loads https://x"),
        ("b.html", '<link rel="preconnect" href="//x.example">', "b.html loads //x.example"),
        ("b.html", '<img src="http://x.example/a.png">', "b.html loads http://x.example/a.png"),
        ("b.html", "<style>@import 'https://x.example'</style>", "b.html loads https://x.example"),
        ("a.css", "a { background: url(https://x.example/a) }", "a.css loads https://x.example/a"),
        ("c.html", '<a href="no.html">no</a>', "c.html links to no.html, which is not there"),
        ("c.html", '<a href="b.html#no">no</a>', "c.html links to b.html#no, and there is no such"),
        ("c.html", '<a href="#no">no</a>', "c.html links to #no, and there is no such anchor"),
    ],
)
def test_what_is_wrong_with_a_site_is_found(
    file: str, text: str, problem: str, tmp_path: Path
) -> None:
    for name, content in SITE.items():
        (tmp_path / name).write_text(content)
    assert checks.problems(tmp_path) == []
    kept = SITE.get(file, "")
    (tmp_path / file).write_text(kept + text)
    (found,) = checks.problems(tmp_path)
    assert found.startswith(problem)
