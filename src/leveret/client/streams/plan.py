"""The call of a stream before it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from leveret.client.middleware import CallNext, OutgoingCall
from leveret.client.streams.opening import StreamOpener, StreamTerms
from leveret.client.streams.sending import Source

__all__ = ["Plan"]


class Plan:
    """The arguments of one stream, and its terms.

    :param source: gives the items to upload, if there is an upload.
    :param chain: puts the middleware around a function; None if there is none.
    :param terms_with: gives the terms with another timeout and other metadata.
    :param with_carrier: gives the terms with a trace context added to the metadata.
    """

    def __init__(
        self,
        opener: StreamOpener,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        terms: StreamTerms,
        *,
        source: Source | None,
        outgoing: Callable[[tuple[Any, ...], dict[str, Any]], OutgoingCall],
        chain: Callable[[CallNext], CallNext] | None,
        terms_with: Callable[[OutgoingCall], StreamTerms],
        with_carrier: Callable[[Mapping[str, str]], StreamTerms],
    ) -> None:
        self.opener = opener
        self.args = args
        self.kwargs = kwargs
        self.terms = terms
        self.source = source
        self.outgoing = outgoing
        self.chain = chain
        self.terms_with = terms_with
        self.with_carrier = with_carrier
