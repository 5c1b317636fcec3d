"""Each code has an HTTP status; a code that Leveret does not know is a failure of the server."""

from __future__ import annotations

import leveret
from leveret import Code, NoServer, http_status
from tests.docs.fences import blocks, table


def test_the_document_has_the_status_of_each_code() -> None:
    rows = table("docs/errors.md", "HTTP status")
    assert {code.strip("`"): int(status) for code, status in rows} == {
        str(code): http_status(code) for code in Code
    }


def test_the_example_of_the_document_is_true() -> None:
    (example,) = (it for it in blocks("docs/errors.md", "python") if it.heading == "HTTP status")
    call, _, status = example.text.partition("#")
    assert eval(call, {"leveret": leveret}) == int(status)


def test_a_declared_error_has_the_status_that_the_web_server_names() -> None:
    assert http_status("OUT_OF_STOCK") == 500
    assert http_status("OUT_OF_STOCK", {"OUT_OF_STOCK": 409}) == 409
    assert http_status(NoServer("none").code, {"OUT_OF_STOCK": 409}) == 503
