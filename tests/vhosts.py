"""`Vhosts`: an empty vhost of a RabbitMQ for each test, without making one each time.

To make and delete a vhost takes RabbitMQ 50 ms of the processor, to empty one a few.
"""

from __future__ import annotations

from itertools import count
from typing import Final

from leveret.testing import RabbitMQ
from leveret.testing.rabbitmq.broker import erlang_binary

__all__ = ["Vhosts"]

# Whether the vhost is as new. Its classic queues and the exchanges that tests made are deleted.
# A connection may end a moment after its client has heard of it. One that stays may declare
# something later; the processes of a quorum queue may outlive it; parameters are policies and
# limits: where there is any of these, the answer is false.
_EMPTY: Final = """\
V = {vhost}, By = <<"leveret">>,
Alone = fun Alone(0) -> false; Alone(N) -> case rabbit_connection_tracking:list(V) of
    [] -> true; _ -> timer:sleep(5), Alone(N - 1) end end,
Queues = rabbit_amqqueue:list(V),
Alone(20) andalso lists:all(fun(Q) -> amqqueue:get_type(Q) =:= rabbit_classic_queue end, Queues)
    andalso begin
        [rabbit_amqqueue:with(amqqueue:get_name(Q),
            fun(Found) -> rabbit_amqqueue:delete(Found, false, false, By) end) || Q <- Queues],
        [rabbit_exchange:delete(Name, false, By) || Exchange <- rabbit_exchange:list(V),
            [{{name, Name}}] <- [rabbit_exchange:info(Exchange, [name])],
            binary:match(element(4, Name), <<"amq.">>) =/= {{0, 4}}, element(4, Name) =/= <<>>],
        [] =:= rabbit_amqqueue:list(V) andalso [] =:= rabbit_binding:list(V)
            andalso length(rabbit_exchange:list(V)) =:= {exchanges}
            andalso [] =:= rabbit_runtime_parameters:list(V)
            andalso 1 =:= length(rabbit_auth_backend_internal:list_vhost_permissions(V))
    end"""

_EXCHANGES: Final = 7
"""How many each vhost has from the start."""


class Vhosts:
    """The vhosts of one worker of pytest-xdist, on the RabbitMQ of the run.

    :param prefix: with which their names begin; no other worker has it.
    """

    def __init__(self, rabbitmq: RabbitMQ, prefix: str) -> None:
        self._rabbitmq = rabbitmq
        self._names = (f"{prefix}-{number}" for number in count(1))
        self._empty: list[str] = []

    def take(self) -> str:
        """The name of one that is empty, and nobody else's until it is given back."""
        if self._empty:
            return self._empty.pop()
        name = next(self._names)
        self._rabbitmq.add_vhost(name)
        return name

    def give_back(self, name: str) -> None:
        """Empty it for the next who asks, or delete it where something would stay."""
        question = _EMPTY.format(vhost=erlang_binary(name), exchanges=_EXCHANGES)
        if self._rabbitmq.evaluate(question.replace("\n", " ")) == "true":
            self._empty.append(name)
        else:
            self._rabbitmq.delete_vhost(name)
