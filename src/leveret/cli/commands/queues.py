"""`leveret queues`: what waits in queues of requests, who serves them, and which nobody does."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Final

import typer
from msgspec import Struct
from msgspec.structs import asdict, replace

from leveret.amqp import methods
from leveret.amqp.codes import ReplyCode
from leveret.cli.asking import Json, Within, ask, print_survey
from leveret.cli.listed_queue import ListedQueue
from leveret.cli.options import Url
from leveret.cli.printing import one_line, print_error_text
from leveret.cli.tables import amount, table
from leveret.client.named import named_spec
from leveret.client.survey import StatsSurvey
from leveret.client.totals import method_of
from leveret.errors import ChannelClosed, LeveretError
from leveret.rabbit.connecting import DEFAULT_URL
from leveret.rabbit.rabbit import Rabbit
from leveret.transport.url import parse_url
from leveret.wire.native.failed import FAILED_SUFFIX
from leveret.wire.native.names import QUEUE_PREFIX

__all__ = ["CODES", "Queue", "orphans_of", "queues"]

CODES: Final = (0, 2, 3, 7, 9, 10, 13, 70, 130)
"""The exit codes that it can have."""
_COUNTED_WITHIN: Final = 5.0
"""Seconds that the broker has to count a queue; one without a leader says nothing."""
_NO_QUEUE: Final = "there is no such queue"
_HEADS: Final = ("QUEUE", ">READY", ">CONSUMERS", "")


class Queue(Struct, frozen=True, kw_only=True):
    """A queue of requests."""

    name: str
    """Its name."""
    ready: int | None = None
    """How many requests wait in it; None if the broker does not say."""
    consumers: int | None = None
    """How many servers serve it."""
    note: str = ""
    """What is to be said of it."""


def queues(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SERVICE.METHOD...",
            help="Whose queues are shown as well, though no server may serve them.",
            show_default=False,
        ),
    ] = None,
    url: Url = None,
    orphans: Annotated[
        bool, typer.Option("--orphans", help="Show those that nobody serves, and nothing else.")
    ] = False,
    remove: Annotated[
        bool,
        typer.Option(
            "--remove",
            help="Delete the orphans that are empty. The broker deletes none that has got a"
            " request or a server meanwhile.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before.")] = False,
    management: Annotated[
        str | None,
        typer.Option(
            envvar="LEVERET_MANAGEMENT",
            metavar="URL",
            show_default=False,
            help="RabbitMQ's management API, as http://user:password@host:15672, for --orphans."
            " Without a user it is that of the broker's URL.",
        ),
    ] = None,
    timeout: Within = 5.0,
    json: Json = False,
) -> None:
    """List queues of requests: how many wait, and how many servers serve them.

    They are those of all services that are served. AMQP cannot list queues, so those that nobody
    serves are found by RabbitMQ's management API.

    Example: leveret queues --orphans --management http://localhost:15672
    """
    if remove and not orphans:
        raise typer.BadParameter("--remove is for --orphans")
    if orphans and not (management or "").strip():
        raise typer.BadParameter(
            "AMQP cannot list queues, so --orphans needs RabbitMQ's management API: give"
            " --management http://user:password@host:15672, or set LEVERET_MANAGEMENT. Without it,"
            " `leveret queues SERVICE.METHOD` shows those that you can name"
        )
    named = [QUEUE_PREFIX + named_spec(target).key for target in _checked(targets or [])]

    async def question(rabbit: Rabbit) -> tuple[StatsSurvey, list[Queue]]:
        survey = await rabbit.stats(timeout=timeout)
        live = {
            queue: method_of(queue, stats)
            for server in survey.servers
            for queue, stats in server.methods.items()
        }
        if orphans:
            # An HTTP client takes long to import, and other commands need none.
            from leveret.cli.management import list_queues  # noqa: PLC0415

            address = parse_url(url or os.environ.get("LEVERET_URL") or DEFAULT_URL, os.environ)
            listed = await list_queues(
                management or "",
                address.vhost,
                username=address.username,
                password=address.password,
            )
            return survey, orphans_of(listed, live)
        found = await _counted(rabbit, sorted({*live, *named}))
        return survey, [_with_suggestion(queue, live.values()) for queue in found]

    survey, found = ask(url, question, as_json=json)
    removable = [queue for queue in found if not queue.note]
    removed: list[str] = []
    if remove and removable and (yes or _is_confirmed(removable)):
        removed = ask(url, lambda rabbit: _removed(rabbit, removable), as_json=json)
    answer: dict[str, Any] = {"queues": [asdict(queue) for queue in found]}
    print_survey(
        survey,
        answer | ({"removed": removed} if remove else {}),
        [*_lines(found), *(one_line(f"removed {name}") for name in removed)],
        as_json=json,
        identities=survey.servers,
        nothing="no queue is an orphan" if orphans else "no queue is served",
    )


def _checked(targets: Sequence[str]) -> Sequence[str]:
    for target in targets:
        try:
            named_spec(target)
        except LeveretError as error:
            raise typer.BadParameter(str(error)) from None
    return targets


def orphans_of(listed: Iterable[ListedQueue], live: Iterable[str]) -> list[Queue]:
    """The queues of requests that nobody serves, those with the most requests first.

    Queues of failed requests have no servers: they are orphans once their method's queue is one, or
    is gone. What is not named as a queue of requests is none of Leveret's, or a client's own.

    :param live: the queues that servers say they serve.
    """
    requests = {queue.name: queue for queue in listed if _is_of_requests(queue)}
    served = {*live, *(name for name, queue in requests.items() if queue.consumers != 0)}
    found = []
    for name, queue in requests.items():
        of_method = name.removesuffix(FAILED_SUFFIX)
        if name in served or of_method in served:
            continue
        note = ""
        if queue.messages != 0:
            note = "has requests: removed by nobody"
        elif queue.type != "classic":
            note = f"a {queue.type} queue: RabbitMQ cannot delete it only while it is unused"
        found.append(
            Queue(name=name, ready=queue.messages_ready, consumers=queue.consumers, note=note)
        )
    return sorted(found, key=lambda queue: (-(queue.ready or 0), queue.name))


def _is_of_requests(queue: ListedQueue) -> bool:
    parts = queue.name.removeprefix(QUEUE_PREFIX).removesuffix(FAILED_SUFFIX).split(".")
    return (
        queue.name.startswith(QUEUE_PREFIX)
        and not queue.exclusive
        and len(parts) == 2
        and all(part.isidentifier() for part in parts)
        and parts[0] != "reply"
    )


def _with_suggestion(queue: Queue, methods: Iterable[str]) -> Queue:
    """The queue, and which method was meant where there is no such queue."""
    if queue.note != _NO_QUEUE:
        return queue
    wanted = queue.name.removeprefix(QUEUE_PREFIX)
    service = wanted.partition(".")[0] + "."
    known = sorted(set(methods))
    # Within a service the names alone are compared: with its own, all of them are similar.
    same = service if any(method.startswith(service) for method in known) else ""
    names = [method.removeprefix(same) for method in known if method.startswith(same)]
    near = get_close_matches(wanted.removeprefix(same), names, 1)
    return replace(queue, note=f"{_NO_QUEUE}. Did you mean {same + near[0]!r}?") if near else queue


async def _counted(rabbit: Rabbit, names: Sequence[str]) -> list[Queue]:
    found = []
    channel = await rabbit.calls.connection.open_channel()
    for name in names:
        try:
            async with asyncio.timeout(_COUNTED_WITHIN):
                counted = await channel.look_at_queue(name)
        except TimeoutError:
            found.append(Queue(name=name, note="the broker says nothing of it"))
        except ChannelClosed as error:
            if error.reply_code != ReplyCode.NOT_FOUND:
                raise
            found.append(Queue(name=name, note=_NO_QUEUE))
        else:
            consumers = counted.consumer_count
            found.append(
                Queue(
                    name=name,
                    ready=counted.message_count,
                    consumers=consumers,
                    note="" if consumers else "nobody serves it",
                )
            )
            continue
        channel = await rabbit.calls.connection.open_channel()
    return sorted(found, key=lambda queue: (-(queue.ready or 0), queue.name))


def _is_confirmed(removable: Sequence[Queue]) -> bool:
    """Ask whether queues are to be removed.

    :raises typer.BadParameter: if there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise typer.BadParameter("--remove asks before; where nobody can answer, give --yes")
    for queue in removable:
        print_error_text(one_line(f"would remove {queue.name}"))
    count = len(removable)
    return typer.confirm(f"Remove {count} empty queue{'' if count == 1 else 's'}?", err=True)


async def _removed(rabbit: Rabbit, removable: Sequence[Queue]) -> list[str]:
    """Delete queues that are unused and empty; returns which were."""
    removed = []
    for queue in removable:
        channel = await rabbit.calls.connection.open_channel()
        try:
            await channel.call(
                methods.Queue.Delete(queue=queue.name, if_unused=True, if_empty=True)
            )
        except ChannelClosed as error:
            print_error_text(one_line(f"{queue.name} is not removed: {error}"))
        else:
            removed.append(queue.name)
            await channel.close()
    return removed


def _trouble(queue: Queue) -> tuple[bool, int, str]:
    """What is to be said of queues comes first, then what waits longest, then the name."""
    return not queue.note, -(queue.ready or 0), queue.name


def _lines(found: Sequence[Queue]) -> list[str]:
    rows = [
        (
            queue.name,
            "?" if queue.ready is None else amount(queue.ready),
            "?" if queue.consumers is None else str(queue.consumers),
            queue.note,
        )
        for queue in sorted(found, key=_trouble)
    ]
    return table(_HEADS, rows) if rows else []
