"""`leveret top`: what methods do now, the worst first."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Annotated

import typer

from leveret.cli.asking import (
    CODES,
    Json,
    Within,
    ask,
    found,
    print_survey,
    unanswered,
)
from leveret.cli.exits import DONE
from leveret.cli.live_screen import (
    is_terminal,
    keys_of_terminal,
    show_live,
    stop_until_continued,
    terminal_size,
)
from leveret.cli.options import Url, refuse_nan
from leveret.cli.printing import describe
from leveret.cli.top_screen import KEYS, Lately, Sort, described, frame, lately, lines_of
from leveret.client.survey import StatsSurvey
from leveret.errors import LeveretError
from leveret.rabbit.rabbit import Rabbit

__all__ = ["CODES", "Live", "top"]


def top(
    service: Annotated[
        str | None,
        typer.Argument(metavar="SERVICE", help="Whose methods are shown.", show_default="all"),
    ] = None,
    url: Url = None,
    interval: Annotated[
        float,
        typer.Option(
            min=0.1, max=3600, callback=refuse_nan, help="Seconds from one look to the next."
        ),
    ] = 2.0,
    sort: Annotated[Sort, typer.Option(help="By what, the worst first.")] = Sort.FAILED,
    once: Annotated[
        bool,
        typer.Option(
            "--once", help="Print one table and end, as where standard output is no terminal."
        ),
    ] = False,
    timeout: Within = 5.0,
    json: Json = False,
) -> None:
    """Show what each method does now: calls and failures per second, times, what runs and waits.

    On a terminal it goes on until q or Ctrl-C; other keys sort. Each figure is of the time since
    the look before.

    Example: leveret top --sort p95
    """
    if is_terminal() and not once and not json:
        number = ask(
            url, lambda rabbit: _live(rabbit, service, interval, sort, timeout), as_json=False
        )
        if number:
            signal.raise_signal(number)
        raise typer.Exit(DONE)

    async def question(rabbit: Rabbit) -> tuple[StatsSurvey, Lately]:
        before = await found(rabbit, service, await rabbit.stats(service, timeout=timeout))
        await asyncio.sleep(interval)
        after = await rabbit.stats(service, timeout=timeout)
        return after, _of_service(lately(before, after), service)

    survey, seen = ask(url, question, as_json=json)
    print_survey(
        survey,
        {"seconds": seen.seconds, "methods": described(seen, sort)},
        lines_of(seen, sort),
        as_json=json,
        identities=survey.servers,
    )


def _of_service(seen: Lately, service: str | None) -> Lately:
    """Without the methods of other services that the same servers serve."""
    if service is None:
        return seen
    name = service.partition(".")[0]
    return Lately(
        methods=[one for one in seen.methods if one.method.startswith(f"{name}.")],
        seconds=seen.seconds,
        servers=seen.servers,
    )


class Live:
    """What is on the screen: the last two looks, and how it is sorted."""

    def __init__(
        self, rabbit: Rabbit, service: str | None, *, interval: float, sort: Sort, timeout: float
    ) -> None:
        self._rabbit = rabbit
        self._service = service
        self._interval = interval
        self._timeout = timeout
        self._before: StatsSurvey | None = None
        self._seen = Lately(methods=[], seconds=0.0, servers=0)
        self._notes: list[str] = []
        self.sort = sort

    async def look(self) -> None:
        """Ask the servers once more. Where that is not possible, the next look may be better."""
        try:
            survey = await self._rabbit.stats(self._service, timeout=self._timeout)
        except LeveretError as error:
            self._notes = [describe(error, of_call=False)]
            return
        self._notes = unanswered(survey, survey.servers)
        self._seen = _of_service(lately(self._before or survey, survey), self._service)
        self._before = survey

    def draw(self, columns: int, rows: int) -> list[str]:
        """The lines of a screen of this size."""
        return frame(
            self._seen,
            self.sort,
            self._notes,
            columns=columns,
            rows=rows,
            interval=self._interval,
        )

    def on_key(self, key: str) -> None:
        """Sort as a key says."""
        self.sort = KEYS.get(key, self.sort)


async def _live(
    rabbit: Rabbit, service: str | None, interval: float, sort: Sort, timeout: float
) -> int:
    """Show it until it is left; returns the number of the signal that is to end the process, or 0.

    So SIGTERM leaves the terminal as it was, as all else does.
    """
    live = Live(rabbit, service, interval=interval, sort=sort, timeout=timeout)
    ended_by: list[int] = []

    def draw() -> list[str]:
        columns, rows = terminal_size()
        return live.draw(columns, rows)

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    with keys_of_terminal() as keys:

        def end() -> None:
            ended_by.append(signal.SIGTERM)
            keys.put_nowait("q")

        loop = asyncio.get_running_loop()
        try:
            # Ctrl-C is how it is left: no error.
            loop.add_signal_handler(signal.SIGINT, keys.put_nowait, "q")
            loop.add_signal_handler(signal.SIGTERM, end)
            loop.add_signal_handler(signal.SIGTSTP, stop_until_continued, write, keys)
        except NotImplementedError:
            pass  # Windows
        await show_live(live.look, draw, live.on_key, write=write, keys=keys, interval=interval)
    return ended_by[0] if ended_by else 0
