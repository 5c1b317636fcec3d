"""The rules of a stream, for either direction: no input or output, no clock.

One side sends numbered items (`SendingHalf`), the other receives them (`ReceivingHalf`). Both watch
that the other side is there (`Liveness`). A client and a server use the same halves: the server
sends the results of a stream, the client an upload; a dialogue has both.

docs/protocol.md, section Streams, has the rules. Whoever uses the halves packs, sends and waits.
"""

from leveret.streaming.credit import Credit
from leveret.streaming.liveness import Due, Liveness
from leveret.streaming.receiving import ReceivingHalf
from leveret.streaming.receiving import State as ReceivingState
from leveret.streaming.sending import SendingHalf
from leveret.streaming.sending import State as SendingState

__all__ = [
    "Credit",
    "Due",
    "Liveness",
    "ReceivingHalf",
    "ReceivingState",
    "SendingHalf",
    "SendingState",
]
