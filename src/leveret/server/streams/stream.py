"""The server's end of one call that streams: results, an upload, and whether its caller is there.

`leveret.streaming`, which is pure, has the rules; this file sends and waits. All of it happens on
the event loop. Whoever runs a handler in a thread or a process asks it for one item after the
other.

Items that a handler yields in one pass of the loop are sent in one message, if the caller takes
that. The broker's work is per message, and is more than that of both sides.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from leveret.amqp.frames import Frames, on_channel
from leveret.body_parts import Body
from leveret.contract import CursoredItem
from leveret.errors import CallError, InvalidArgument, InvalidResult, LeveretError
from leveret.server.calls.life import ServerCall, Stop
from leveret.server.calls.way_back import WayBack
from leveret.streaming import Credit, Due, Liveness, ReceivingHalf, SendingHalf, SendingState
from leveret.streaming.credit import WINDOW_BYTES, WINDOW_ITEMS
from leveret.streaming.receiving import Act
from leveret.wire.dialect import Metadata, StreamPacker
from leveret.wire.message import StreamRequest, UploadMessage

_END: Final = object()
_SMALL: Final = 128 * 1024
"""Bytes of the largest item that is sent together with others."""
_PACKED: Final = 512 * 1024
"""Bytes of items that are sent together at most. Even of items of 64 KB, a message of its own for
each costs half as much again."""
_MOST: Final = 64
"""How many are sent together at most. A caller's window holds several messages of this size, so
that one is made while others are on their way."""
_NO_STOP: Final = Stop.NONE
"""Bound once, for the hot path: before Python 3.12 reading a member of an enum is slow."""


class ServerStream:
    """One call that streams.

    :param sender: "service.instance", by which the caller answers.
    :param encode: encodes an item of the results; raises `InvalidResult`. None: the results do not
        stream.
    :param decode: decodes a message of the upload; raises `InvalidArgument`. None: there is no
        upload.
    :param now: seconds on a clock that goes on steadily, as in all methods.
    """

    def __init__(
        self,
        call: ServerCall,
        request: StreamRequest,
        *,
        sender: str,
        encode: Callable[[ServerCall, Any], Body] | None,
        decode: Callable[[UploadMessage], Any] | None,
        now: float,
    ) -> None:
        self.call = call
        self.total = request.total
        """When the stream must be over, in seconds since 1970; None: never."""
        self.has_results = encode is not None
        """Whether its results stream; otherwise one result is its end."""
        self.results: SendingHalf[Frames] = SendingHalf(request.items, request.size)
        """Sends messages, and keeps them until the caller has them, including the end."""
        self.upload = None if decode is None else ReceivingHalf(WINDOW_ITEMS, WINDOW_BYTES)
        self.ended = False
        """Whether the handler has ended, and the caller was sent its end."""
        self.failure: InvalidResult | None = None
        """Why it ends, where that is not for the handler to say; None if nothing has gone wrong."""
        self._sender = sender
        self._room = min(request.packed - 4 * (_MOST + 1), _PACKED)
        """Bytes of items that are sent together at most; below 0 if the caller does not take that.
        The message has the size of each besides."""
        self._small = min(_SMALL, self._room)
        self._open: list[bytes] = []
        """Items that the handler yielded, and that are in no message yet."""
        self._open_size = 0
        self._encode = encode
        self._decode = decode
        self._on_first: Callable[[], None] = _nothing
        self._alive = Liveness(now)
        self._spoke = False
        self._told = 0
        """How many items had been sent at the last tick."""
        self._packer: StreamPacker | None = None
        self._packed_for: WayBack[ServerCall] | None = None
        self._waker: asyncio.Future[None] | None = None
        self._inbox: deque[tuple[Any, int]] = deque()
        self._upload_error: CallError | None = None
        self._came = asyncio.Event()
        """Wakes those who wait for an item of the upload: a handler may take them in several tasks
        or threads."""

    @property
    def packer(self) -> StreamPacker:
        """What packs for the current channel."""
        answers = self.call.source.answers
        if self._packer is None or self._packed_for is not answers:
            self._packer = answers.packer.stream(self.call.incoming, self._sender)
            self._packed_for = answers
        return self._packer

    @property
    def count(self) -> int:
        """How many items of the results were sent."""
        return self.results.number

    @property
    def taken(self) -> int:
        """How many items of the upload the handler took."""
        return 0 if self.upload is None else self.upload.taken

    @property
    def size(self) -> int:
        """Bytes of their bodies."""
        return self.results.size

    # -- the handler begins, gives items, and ends ---------------------------------------------

    def begin(self, now: float, on_first: Callable[[], None]) -> None:
        """The handler begins. From here on its caller is told that it goes on.

        :param on_first: is called once, when the caller is told something.
        """
        self._on_first = on_first
        self._alive = Liveness(now)
        if self.upload is not None:
            self._give_credit(now)

    def send(self, item: Any) -> Awaitable[None] | None:
        """Send an item of the results; return what to await before the next one, if anything.

        :raises InvalidResult: if it does not fit.
        """
        call = self.call
        assert self._encode is not None
        cursor = ""
        if type(item) is CursoredItem:
            cursor, item = item.cursor, item.value
        body = self._encode(call, item)
        if call.stop is _NO_STOP and self.results.may_send:
            return self._send(body, cursor)
        return self._send_later(body, cursor)

    def _send(self, body: Body, cursor: str) -> Awaitable[None] | None:
        half = self.results
        answers = self.call.source.answers
        size = len(body)
        if size <= self._small and not cursor and type(body) is bytes:
            takes_more = self._open_size + size <= self._room or self._send_open()
            half.count(size)
            items = self._open
            if not items:
                answers.defer(self._pass_ends)
                self._speaks()  # the handler may go on before the pass ends
            items.append(body)
            self._open_size += size
            if len(items) >= _MOST or self._open_size + size > self._room:
                takes_more = self._send_open()  # another of this size would not fit
        else:
            if self._open:
                self._send_open()
            packer = self._packer if self._packed_for is answers else None
            try:
                frames = (packer or self.packer).item(half.number + 1, body, cursor)
            except (TypeError, ValueError) as error:
                raise InvalidResult(f"item {half.number + 1} cannot be sent: {error}") from error
            half.count(size)
            takes_more = self._sent(frames, size)
        return None if takes_more else self._writable(answers)

    def _pass_ends(self) -> None:
        self._send_open()

    def _send_open(self) -> bool:
        """Send the items that are in no message yet; return whether the socket takes more."""
        items, size = self._open, self._open_size
        if not items:
            return True
        self._open, self._open_size = [], 0
        first = self.results.number + 1 - len(items)
        if len(items) == 1:
            return self._sent(self.packer.item(first, items[0]), size)
        return self._sent(self.packer.items(first, items), size, len(items))

    def _sent(self, frames: Frames, size: int, items: int = 1) -> bool:
        self.results.keep(frames, size, items)
        takes_more = self.call.source.answers.send_item(frames)
        if not self._spoke:
            self._speaks()
        return takes_more

    async def _send_later(self, body: Body, cursor: str) -> None:
        """Send an item once its caller takes it."""
        self._send_open()
        while not self.results.may_send:
            self._check()
            await self._credit()
        self._check()
        more = self._send(body, cursor)
        if more is not None:
            await more

    @staticmethod
    async def _writable(answers: WayBack[ServerCall]) -> None:
        while answers.paused and answers.is_open:
            try:
                await answers.writable()
            except LeveretError:
                return  # the connection has ended; what is kept is sent on the next one

    def finish(self, frames: bytes, now: float) -> None:
        """The handler has ended: send the end, or the error or the one result in its place."""
        self.ended = True
        self._inbox.clear()
        self._came.set()
        if not frames:
            self._leave()
        elif self.results.state is SendingState.OPEN:
            self._send_open()
            self.results.end(frames)
        if frames:
            self.call.source.answers.reply(frames)
        if self.call.stop is Stop.CALLER:
            self._leave()  # it has cancelled: it will not say that it has the end
        self._alive.heard(now)  # 30 s more to say that it has the end
        self._alive.moved(now)

    def stop(self) -> None:
        """The call is stopped: wake those who wait for an item of the upload, or for credit."""
        self._came.set()
        _wake(self._waker)

    def leave(self) -> None:
        """The caller is gone: drop what was sent."""
        self._leave()
        self.stop()

    def _leave(self) -> None:
        self.results.leave()
        self._open = []
        self._open_size = 0

    def _check(self) -> None:
        """Go no further once the call was stopped, even if the handler ignored that."""
        if self.call.stop is not Stop.NONE:
            raise asyncio.CancelledError

    async def _credit(self) -> None:
        self._waker = asyncio.get_running_loop().create_future()
        await self._waker

    def _speaks(self) -> None:
        if not self._spoke:
            self._spoke = True
            self._on_first()

    def refused(self, size: int, most: int) -> None:
        """The broker has closed the channel, as it does not take a message of so many bytes.

        If that was one of this stream, the stream ends before it, with an error, and its handler is
        cancelled: sent again, the message would have the next channel closed as well.

        :param most: bytes of the largest body that the broker takes.
        """
        if not self.results.take_back(lambda frames: len(frames) >= size):
            return
        self._open, self._open_size = [], 0
        what = f"item {self.count + 1}" if self.has_results else "the result"
        self.failure = InvalidResult(
            f"{what} takes more than the {most} bytes that the broker takes (max_message_size in"
            " its configuration)"
        )
        if self.ended:
            self.results.end(self.pack_error(self.failure, None))
            return
        self._encode = self._refuse
        if self.call.task is not None:
            self.call.task.cancel()

    def _refuse(self, _call: ServerCall, _item: Any) -> Body:
        """Take no more items of a handler that was cancelled and goes on."""
        assert self.failure is not None
        raise self.failure

    # -- what is packed for its end ------------------------------------------------------------

    def pack_end(self, metadata: Metadata | None, *, moved: bool = False) -> bytes:
        """The frames of the end.

        :raises TypeError, ValueError: if the metadata cannot be sent.
        """
        if self.failure is not None:
            return self.pack_error(self.failure, metadata)
        return self.packer.end(self.count, metadata, moved=moved)

    def pack_error(self, error: CallError, metadata: Metadata | None) -> bytes:
        """The frames of an error.

        :raises TypeError, ValueError: if the metadata cannot be sent.
        """
        return self.packer.error(self.count, error, metadata)

    # -- what comes from the caller ------------------------------------------------------------

    @property
    def is_done(self) -> bool:
        """Whether nothing more will be sent or received."""
        return self.ended and self.results.state is SendingState.DONE

    def credited(self, credit: Credit, now: float) -> None:
        """The caller says what it has received, and how much more it takes."""
        self._alive.heard(now)
        try:
            again = self.results.credit(credit)
        except ValueError:
            return
        self._send_again(again)
        _wake(self._waker)

    def uploaded(self, message: UploadMessage, now: float) -> None:
        """An item of the upload came, or its end."""
        self._alive.heard(now)
        half = self.upload
        if half is None or self.ended or self._decode is None:
            return
        match self._act(half, message):
            case Act.TAKE if self._upload_error is None:
                try:
                    self._inbox.append((self._decode(message), message.body_size))
                except InvalidArgument as error:
                    self._fails(error)
                self._came.set()
            case Act.FINISH:
                if self._upload_error is None:  # else that is its end
                    self._inbox.append((_END, 0))
                self._give_credit(now)
                self._came.set()
            case Act.ASK:
                self._give_credit(now, again=True)
            case Act.ACKNOWLEDGE:
                self._give_credit(now)
            case Act.BREAK:
                self._fails(InvalidArgument("its upload ended before its last item"))

    @staticmethod
    def _act(half: ReceivingHalf, message: UploadMessage) -> Act:
        if message.is_end:
            return half.end(message.number)
        return half.sign(message.number) if message.is_sign else half.item(message.number)

    def _fails(self, error: CallError) -> None:
        if self._upload_error is None:
            self._upload_error = error
        self._came.set()

    async def next_uploaded(self, now: Callable[[], float]) -> Any:
        """The next item of the upload.

        :raises StopAsyncIteration: after the last one.
        :raises CallError: if it cannot go on.
        :raises RuntimeError: once the handler has ended, in what it started and what runs on.
        """
        half = self.upload
        assert half is not None
        while not self._inbox:
            self._check()
            if self._upload_error is not None:
                raise self._upload_error
            if self.ended:
                raise RuntimeError(f"the upload is over, as its call of {self.call.method} is")
            self._came.clear()
            await self._came.wait()
        item, size = self._inbox[0]
        if item is _END:
            raise StopAsyncIteration
        self._inbox.popleft()
        if half.took(size):
            self._give_credit(now())
        return item

    # -- the channel, and time -----------------------------------------------------------------

    def attached(self, now: float) -> None:
        """It has a channel again: send once more what may have been lost with the last one."""
        self.listens_again(now)
        self._send_again(self.results.unacknowledged())
        self._send_open()
        _wake(self._waker)

    def listens_again(self, now: float) -> None:
        """Ask for the messages of the upload that came meanwhile, as they are lost."""
        if self.upload is not None and not self.ended and self._spoke:
            self._give_credit(now, again=True)

    def tick(self, now: float) -> Due:
        """Say that this side is there, if that is due; return what was due."""
        if self.results.number != self._told and not self.ended:
            self._told = self.results.number
            self._alive.moved(now)
        due = self._alive.due(now)
        if due is Due.SAY:
            self._alive.said_again(now)
            if self.ended:
                self._send_again(self.results.unacknowledged()[-1:])
                return due
            if self.upload is not None:
                self._give_credit(now, said=True)
            if self.has_results:
                self._send_open()
                self.call.source.answers.notice(self.packer.progress(self.count))
                self._speaks()
        return due

    def _give_credit(self, now: float, *, again: bool = False, said: bool = False) -> None:
        assert self.upload is not None
        credit = self.upload.credit(now, again=again)
        self.call.source.answers.reply(self.packer.credit(credit))
        if not said:
            self._alive.moved(now)
        self._speaks()

    def _send_again(self, messages: list[Frames]) -> None:
        answers = self.call.source.answers
        for frames in messages:
            answers.reply(on_channel(frames, answers.number))


def _nothing() -> None:
    """Nobody has to be told."""


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
