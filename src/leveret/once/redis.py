"""Replies in Redis, seen by all servers that use the same one.

Each key is a Redis hash with its own time to live. Whatever decides is one Lua script, which Redis
runs alone (https://redis.io/docs/latest/develop/programmability/eval-intro/), by Redis's clock: the
servers' clocks need not agree.

A claim holds as long as Redis keeps it, so what Redis forgets can run twice:

- `maxmemory-policy noeviction`, else keys go when memory is short;
- `appendonly yes`, and `appendfsync always` where a crash of Redis must not lose the last second;
- replicas take over without the last writes, if the master dies before it sent them (WAIT is not
  used). Where that matters, use PostgreSQL.
"""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from leveret.errors import InvalidURL
from leveret.once.limits import (
    MAX_BODY,
    check_owner,
    check_seconds,
    fitted,
    key_bytes,
    pack_metadata,
    unpack_metadata,
)
from leveret.once.polling import Found, poll
from leveret.once.store import Abandoned, Begun, OnceUnavailable, Outcome, Recorded, Taken

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.commands.core import AsyncScript

__all__ = ["RedisOnce"]

# What is known of KEYS[1]: `until` is where its lease ends, in epoch ms; a record has a `kind`.
_LOOK: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local found = redis.call('HMGET', KEYS[1],
    'owner', 'until', 'kind', 'content_type', 'body', 'metadata')
if found[3] then return {'recorded', found[3], found[4], found[5], found[6], found[1]} end
"""

_READ: Final = f"""{_LOOK}
if not found[1] then return {{'free'}} end
if tonumber(found[2]) > now then return {{'taken', found[1], found[2] - now}} end
return {{'abandoned', found[1]}}
"""

# ARGV: owner, lease in ms, keep in ms, whether to take over
_BEGIN: Final = f"""{_LOOK}
if found[1] and found[1] ~= ARGV[1] then
    if tonumber(found[2]) > now then return {{'taken', found[1], found[2] - now}} end
    if ARGV[4] ~= '1' then return {{'abandoned', found[1]}} end
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', now + ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2] + ARGV[3])
return {{'begun'}}
"""

# ARGV: owner, keep in ms, kind, content type, body, metadata
_FINISH: Final = """
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
if redis.call('HEXISTS', KEYS[1], 'kind') == 1 then return 1 end
redis.call('HSET', KEYS[1], 'kind', ARGV[3], 'content_type', ARGV[4], 'body', ARGV[5],
    'metadata', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""

_RELEASE: Final = """
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
if redis.call('HEXISTS', KEYS[1], 'kind') == 1 then return 0 end
return redis.call('DEL', KEYS[1])
"""


class RedisOnce:
    """A `OnceStore` in Redis, 5.0 or later.

    :param redis: `redis://user:password@host:6379/0` (`rediss://` with TLS, `unix://` for a
        socket), or a client of your own, which stays open; it must not decode responses.
    :param prefix: what its keys in Redis begin with.
    :param timeout: seconds after which an operation is given up.
    :param max_body: bytes of a body above which only its size is recorded; Redis takes 512 MB.
    :param connections: how many at most, with a URL; what needs one more waits for it.
    :raises ImportError: Redis's client is not installed.
    :raises InvalidURL: the URL cannot be read.
    :raises ValueError: the client decodes responses.
    """

    def __init__(
        self,
        redis: str | Redis,
        *,
        prefix: str = "leveret:once:",
        timeout: float = 5.0,
        max_body: int = MAX_BODY,
        connections: int = 16,
    ) -> None:
        try:
            from redis.exceptions import ConnectionError as Broken  # noqa: PLC0415 - needs the extra
            from redis.exceptions import RedisError  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise ImportError(
                "RedisOnce needs Redis's client: pip install 'leveret[redis]'"
            ) from error
        self._passing = (Broken, OSError)
        self._failures = (RedisError, OSError)
        self._owned = isinstance(redis, str)
        self._client = _connect(redis, timeout, connections) if isinstance(redis, str) else redis
        if self._client.connection_pool.connection_kwargs.get("decode_responses"):
            raise ValueError("RedisOnce keeps bytes: give it a client with decode_responses=False")
        self._prefix = prefix.encode()
        self._timeout = timeout
        self._max_body = max_body
        self._closed = False
        self._begin, self._read, self._finish, self._release = (
            self._client.register_script(script) for script in (_BEGIN, _READ, _FINISH, _RELEASE)
        )

    @property
    def shared(self) -> bool:
        """Yes: servers with the same database see the same keys."""
        return True

    async def begin(
        self, key: str, *, owner: str, lease: float, keep: float, takeover: bool = False
    ) -> Outcome:
        """Claim a key, or say what is known of it; see `OnceStore.begin`."""
        name = self._name(key)
        check_owner(owner)
        check_seconds(lease=lease, keep=keep)
        found = _found(
            await self._run(self._begin, name, owner, _ms(lease), _ms(keep), int(takeover))
        )
        return Begun() if found is None else found

    async def finish(self, key: str, *, owner: str, recorded: Recorded, keep: float) -> bool:
        """Record the reply of a request that ran; see `OnceStore.finish`."""
        name = self._name(key)
        check_owner(owner)
        check_seconds(keep=keep)
        record = fitted(recorded, self._max_body)
        what = (record.kind, record.content_type, record.body, pack_metadata(record.metadata))
        return await self._run(self._finish, name, owner, _ms(keep), *what) == 1

    async def release(self, key: str, *, owner: str) -> None:
        """Forget this owner's claim; see `OnceStore.release`."""
        name = self._name(key)
        check_owner(owner)
        await self._run(self._release, name, owner)

    async def wait(self, key: str, timeout: float) -> Recorded | None:
        """Wait for the record of a request that another runs; see `OnceStore.wait`."""
        return await poll(partial(self._look, self._name(key)), timeout)

    async def look(self, key: str) -> Found:
        """What is known of a key; see `LastingStore.look`."""
        return await self._look(self._name(key))

    async def close(self) -> None:
        """Close the connections, if they are not those of a client that was given."""
        self._closed = True
        if self._owned:
            await self._client.aclose()

    async def __aenter__(self) -> Self:
        try:
            await self._look(self._prefix)
        except BaseException:
            await self.close()  # nobody leaves what could not be entered
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- Redis --------------------------------------------------------------------------------

    def _name(self, key: str) -> bytes:
        return self._prefix + key_bytes(key)

    async def _look(self, name: bytes) -> Found:
        return _found(await self._run(self._read, name))

    async def _run(self, script: AsyncScript, name: bytes, *args: bytes | str | int) -> object:
        """Run a script, again on another connection if it fails, as each of them may be."""
        if self._closed:
            raise OnceUnavailable("this RedisOnce is closed")
        texts = [arg.encode() if isinstance(arg, str) else arg for arg in args]
        try:
            try:
                return await self._once(script, name, texts)
            except self._passing:
                return await self._once(script, name, texts)
        except TimeoutError as error:
            raise OnceUnavailable.because(
                "Redis", f"no answer within {self._timeout:g} s"
            ) from error
        except self._failures as error:
            raise OnceUnavailable.because("Redis", str(error)) from error

    async def _once(self, script: AsyncScript, name: bytes, args: list[bytes | int]) -> object:
        task = asyncio.current_task()
        assert task is not None
        cancelled = task.cancelling()
        async with asyncio.timeout(self._timeout / 2):
            answer: object = await script(keys=[name], args=args)
            if task.cancelling() > cancelled:
                # Python 3.11's `wait_for`, which the client uses, can swallow a cancellation.
                raise asyncio.CancelledError
            return answer


def _connect(url: str, timeout: float, connections: int) -> Redis:
    """A client of our own, which never retries: `_run` does."""
    from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415 - needs the extra
    from redis.asyncio.retry import Retry  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415

    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=timeout,
            socket_connect_timeout=timeout,
            socket_timeout=None,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:
        # Without its words, and without a chain: they may hold a part of the password.
        raise InvalidURL(
            "the URL of Redis cannot be read; the form is redis://user:password@host:6379/0, with"
            " special characters in the password percent-encoded"
        ) from None
    return Redis.from_pool(pool)


def _found(answer: object) -> Found:
    """The answer of _LOOK, _READ or _BEGIN as a record."""
    match answer:
        case [
            b"recorded",
            bytes(kind),
            bytes(content_type),
            bytes(body),
            bytes(metadata),
            bytes(owner),
        ]:
            return Recorded(
                kind=kind.decode(),
                content_type=content_type.decode(),
                body=body,
                metadata=unpack_metadata(metadata),
                owner=owner.decode(),
            )
        case [b"taken", bytes(owner), int(remaining)]:
            return Taken(owner=owner.decode(), remaining=remaining / 1000)
        case [b"abandoned", bytes(owner)]:
            return Abandoned(owner=owner.decode())
        case [b"begun" | b"free"]:
            return None
    raise OnceUnavailable.because("Redis", f"it answered {answer!r:.200}")


def _ms(seconds: float) -> int:
    return math.ceil(seconds * 1000)
