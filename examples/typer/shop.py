"""A command line that calls a service.

leveret serve shop:Shop          # in one terminal
python shop.py quote carrot 3    # in another
python shop.py restock 20
"""

from typing import Annotated

import typer

import leveret
import leveret.blocking
from leveret import Progress, Service, current_call, method

CENTS = {"carrot": 30, "hay": 500}
app = typer.Typer()


class Shop(Service):
    @method(timeout=5, idempotent=True)
    async def quote(self, sku: str, count: int) -> int:
        return CENTS[sku] * count

    @method(timeout=600)
    async def restock(self, shelves: int) -> int:
        for shelf in range(shelves):
            current_call().progress((shelf + 1) / shelves, f"shelf {shelf + 1}")
        return 12 * shelves


@app.callback()
def connect(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(envvar="LEVERET_URL", help="The broker.")] = None,
) -> None:
    context.obj = context.with_resource(leveret.blocking.connect(url))


@app.command()
def quote(context: typer.Context, sku: str, count: int = typer.Argument(1)) -> None:
    """Say what it costs."""
    rabbit: leveret.blocking.Rabbit = context.obj
    typer.echo(f"{rabbit.run(rabbit.remote(Shop).quote(sku, count)) / 100:.2f}")


@app.command()
def restock(context: typer.Context, shelves: int) -> None:
    """Fill the shelves. Ctrl-C stops it, also at the server."""
    rabbit: leveret.blocking.Rabbit = context.obj

    def show(progress: Progress) -> None:
        typer.echo(f"{progress.fraction:.0%} {progress.text}", err=True)

    shop = rabbit.remote(Shop).with_options(on_progress=show)
    typer.echo(f"{rabbit.run(shop.restock(shelves))} boxes")


if __name__ == "__main__":
    try:
        app()
    except leveret.CallError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise SystemExit(1) from error
