"""The page that compares the contract of a service with one that somebody pastes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from leveret.console.bodies import read_body
from leveret.console.rendering import Pages
from leveret.console.system import System
from leveret.contract.changes import Change
from leveret.contract.diff import diff
from leveret.contract.written import read_descriptions
from leveret.errors import ContractError

__all__ = ["ComparePage"]

_MOST: Final = 4_000_000
"""Bytes of the largest contract that is compared."""


class ComparePage:
    """Compares contracts; it changes nothing.

    :param system: has the contracts of now.
    :param pages: renders the page.
    """

    def __init__(self, system: System, pages: Pages) -> None:
        self._system = system
        self._pages = pages

    def routes(self) -> list[Route]:
        """Where that is done."""
        return [
            Route("/service/{name}/compare", self.ask),
            Route("/service/{name}/compare", self.compare, methods=["POST"]),
        ]

    async def ask(self, request: Request) -> Response:
        """Ask for the other contract."""
        return await self._page(request, "", "new")

    async def compare(self, request: Request) -> Response:
        """Say what changes between the two."""
        given = parse_qs(
            (await read_body(request, _MOST)).decode(errors="replace"), max_num_fields=10
        )
        pasted = given.get("contract", [""])[0]
        return await self._page(request, pasted, given.get("pasted", ["new"])[0])

    async def _page(self, request: Request, pasted: str, which: str) -> Response:
        """The page, with the changes if a contract was pasted.

        :param which: what the pasted one is, "old" or "new".
        """
        await self._system.ready()
        name = request.path_params["name"]
        contracts = await self._system.contracts_of(name)
        if not contracts:
            return self._pages.missing(request, f"No server says what the service {name} is.")
        changes: list[Change] = []
        wrong = ""
        if pasted:
            try:
                live = {**contracts[0].description, "service": name}
                other = _chosen(pasted, name)
                changes = diff(other, live) if which == "old" else diff(live, other)
            except ContractError as error:
                wrong = str(error)
        return self._pages.render(
            request,
            "compare.html",
            view=self._system.view,
            name=name,
            pasted=pasted,
            which="old" if which == "old" else "new",
            changes=changes,
            wrong=wrong,
            kinds=len(contracts),
        )


def _chosen(pasted: str, name: str) -> Mapping[str, Any]:
    """The service of this name in a pasted text, or the only one that it has.

    :raises ContractError: if there is none.
    """
    found = read_descriptions(pasted)
    if name in found:
        return found[name]
    if len(found) == 1:
        return next(iter(found.values()))
    raise ContractError(f"it has no service {name}, but {', '.join(sorted(found)) or 'none'}")
