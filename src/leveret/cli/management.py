"""Asks RabbitMQ's management API which queues there are: AMQP has nothing that lists them.

https://www.rabbitmq.com/docs/management
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import urllib.error
import urllib.request
from typing import IO, TYPE_CHECKING, Final
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from leveret.cli.listed_queue import ListedQueue
from leveret.errors import ConnectionLost, InvalidURL, PermissionDenied
from leveret.wire.native.names import QUEUE_PREFIX

if TYPE_CHECKING:
    from email.message import Message

__all__ = ["list_queues"]

_PAGE: Final = 500
_WITHIN: Final = 10.0
"""Seconds that the API has to answer each question."""
_LARGEST: Final = 50_000_000
"""Bytes of an answer that are read."""
_COLUMNS: Final = "name,consumers,messages,messages_ready,type,exclusive"


class _Page(Struct, frozen=True):
    items: list[ListedQueue]
    page_count: int = 1


_decode = msgspec.json.Decoder(_Page).decode


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows none: the request says who asks, which is for nobody else."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> None:
        return None


_open = urllib.request.build_opener(_NoRedirects).open


async def list_queues(
    url: str, vhost: str, *, username: str = "", password: str = ""
) -> list[ListedQueue]:
    """The queues of a vhost whose names begin as those of Leveret do.

    :param url: of the API, `http://user:password@host:15672`.
    :param username: who asks, where the URL does not say.
    :raises InvalidURL: if the URL is none.
    :raises PermissionDenied: if the user may not ask.
    :raises ConnectionLost: if nothing answers there as the management API does.
    """
    base, authorization = _endpoint(url, username, password)
    found: list[ListedQueue] = []
    page, pages = 1, 1
    while page <= pages:
        query = urlencode(
            {
                "page": page,
                "page_size": _PAGE,
                "name": f"^{QUEUE_PREFIX.replace('.', '[.]')}",
                "use_regex": "true",
                "columns": _COLUMNS,
                "disable_stats": "false",
            }
        )
        address = f"{base}/api/queues/{quote(vhost, safe='')}?{query}"
        answer = await asyncio.to_thread(_get, address, authorization)
        found += [queue for queue in answer.items if queue.name.startswith(QUEUE_PREFIX)]
        page, pages = page + 1, answer.page_count
    return found


def _endpoint(url: str, username: str, password: str) -> tuple[str, str]:
    """The address without its user, and what says who asks."""
    parts = urlsplit(url.strip())
    if not _is_complete(parts):
        # Without the text, which may have a password.
        raise InvalidURL(
            "the URL of the management API has the form http://user:password@host:15672"
        )
    if parts.username:
        username = unquote(parts.username)
        password = unquote(parts.password or "")
    token = base64.b64encode(f"{username}:{password}".encode()).decode()
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}", f"Basic {token}"


def _is_complete(parts: SplitResult) -> bool:
    """Whether it has a scheme of HTTP and a host; and a number as its port, if it has one."""
    try:
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _get(address: str, authorization: str) -> _Page:
    request = urllib.request.Request(address, headers={"Authorization": authorization})  # noqa: S310
    where = address.partition("/api/")[0]
    try:
        with _open(request, timeout=_WITHIN) as answer:
            return _decode(answer.read(_LARGEST))
    except urllib.error.HTTPError as error:
        if error.code in {401, 403}:
            raise PermissionDenied(
                f"the management API at {where} refuses this user; it needs the tag"
                " 'management' or 'monitoring'"
            ) from None
        if 300 <= error.code < 400:
            raise ConnectionLost(
                f"{where} answers {error.code}, which leads elsewhere; give the URL of the"
                " management API itself: a redirect is not followed, as it would get the password"
            ) from None
        raise ConnectionLost(f"the management API at {where} answers {error.code}") from None
    except http.client.HTTPException:
        raise ConnectionLost(
            f"what answers at {where} is no HTTP; give the port of the management API, which is"
            " 15672 unless configured otherwise (5672 is that of AMQP)"
        ) from None
    except (OSError, msgspec.MsgspecError) as error:
        why = getattr(error, "reason", None) or error
        raise ConnectionLost(f"no management API answers at {where}: {why}") from None
