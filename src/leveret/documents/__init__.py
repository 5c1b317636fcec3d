"""Documents of services for people: Markdown, a page of HTML, and text for a terminal. Pure.

They are made of descriptions as `service_schema` gives them and servers answer to `info`. Whoever
answers may be anybody, so nothing of a description is taken for more than text.
"""

from __future__ import annotations

from leveret.documents.pages import Member, MethodPage, Server, ServicePage, TypePage
from leveret.documents.reading import read_page

__all__ = ["Member", "MethodPage", "Server", "ServicePage", "TypePage", "read_page"]
