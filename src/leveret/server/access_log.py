"""The access log: a line for each call that ended at a server, by the logger `leveret.access`.

    call=4mJ0cVq3uTgA1rXk method=shop.order user=web caller=desk:4711 outcome=OK executed=yes ...

A line has `name=value` for each field, with quotation marks where a value has spaces or the like.
Its record has the fields as well, for logs that machines read.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Final

from leveret.server.call_end import CallEnd
from leveret.wire.context import CurrentCall
from leveret.wire.error_texts import shortened
from leveret.wire.log_fields import fields_of

__all__ = ["log_call"]

log = logging.getLogger("leveret.access")

_LINE: Final = (
    "call=%s method=%s user=%s caller=%s outcome=%s executed=%s"
    " queued=%.6f waited=%.6f ran=%.6f in=%d out=%d"
)
_LONGEST: Final = 255
"""Characters of a field that a stranger chose."""
_is_plain = re.compile(r"[\w.@:/+*-]+", re.ASCII).fullmatch


def log_call(call: CurrentCall, end: CallEnd) -> None:
    """Write the line of a call."""
    if not log.isEnabledFor(logging.INFO):
        return
    outcome = end.outcome.replace(" ", "_").upper()
    if end.outcome == "done":
        outcome = "OK"
    elif end.error is not None:
        outcome = str(end.error.code)
    fields = {
        **fields_of(call),
        "user": call.user,
        "caller": call.caller,
        "outcome": outcome,
        "executed": end.executed,
        "queued": round(end.queued, 6),
        "waited": round(end.waited, 6),
        "ran": round(end.ran, 6),
        "request_size": end.request_size,
        "reply_size": end.reply_size,
    }
    log.info(
        _LINE,
        *(_word(call.id), call.method, _word(call.user), _word(call.caller), _word(outcome)),
        *(end.executed, end.queued, end.waited, end.ran, end.request_size, end.reply_size),
        extra=fields,
    )


def _word(text: str) -> str:
    """A value as it stands in the line."""
    text = shortened(text, _LONGEST)
    return text if _is_plain(text) else json.dumps(text)
