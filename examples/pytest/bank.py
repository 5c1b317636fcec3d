"""The service that is tested: `leveret serve bank:Bank`."""

from typing import Annotated

from leveret import DeclaredError, Meta, Service, method

Cents = Annotated[int, Meta(ge=1)]


class Overdrawn(DeclaredError):
    """There is not enough in the account."""

    account: str
    missing: int


class Bank(Service):
    def __init__(self) -> None:
        self._balances: dict[str, int] = {}

    @method(idempotent=True)
    async def balance(self, account: str) -> int:
        return self._balances.get(account, 0)

    @method
    async def deposit(self, account: str, cents: Cents) -> int:
        self._balances[account] = self._balances.get(account, 0) + cents
        return self._balances[account]

    @method(raises=[Overdrawn])
    async def transfer(self, source: str, target: str, cents: Cents) -> None:
        missing = cents - self._balances.get(source, 0)
        if missing > 0:
            raise Overdrawn(source, missing)
        self._balances[source] -= cents
        await self.deposit(target, cents)
