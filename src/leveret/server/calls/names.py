"""The names of calls at a server, by which a request that comes again is found."""

from __future__ import annotations

from leveret.wire.message import CallKey


def name_of(key: CallKey, stage: int = 0) -> str:
    """A key as text, which is hashed once and not at each look-up; "" if it names no call.

    The stages of a pipe share the key of their caller, so the name of each has its number, next to
    the exchange. Only a dialect chooses the exchange, and it is usually the default one.

    Names of AMQP may contain a zero byte, but a stranger cannot forge the name of another call: a
    name whose parts have no zero byte has exactly two, and can be read in one way only.
    """
    reply_to, call_id = key
    if reply_to is None or not call_id:
        return ""
    return f"{call_id}\0{reply_to.exchange}{stage or ''}\0{reply_to.key}"


def name_of_one_way(call_id: str, user: str, body: bytes | None) -> str:
    """The name that identifies a request without a reply address; "" if it has no id.

    Its id should be unique, but clients are not forced to that. So its user and its body are part
    of the name, which is valid in this process only.
    """
    return f"{call_id}\0\0\0{user}\0{hash(body)}" if call_id else ""
