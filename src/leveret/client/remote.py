"""The typed remote: an object whose methods are calls over the network.

`Remote` is what `rabbit.remote(Contract)` returns; its type, for mypy and pyright, is the contract.
It does not derive from the contract: only remote methods are reachable on it.
"""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Any, ClassVar, Final, Self, TypeVar, Unpack, cast

from msgspec import Struct

from leveret.client.invocation import Invocation
from leveret.client.invocations import NATIVE, Invocations, MakeCodec, typed_codec
from leveret.client.middleware import Middleware
from leveret.client.options import OF_A_CALL, CallOptions, GivenOptions
from leveret.client.remote_method import RemoteMethod
from leveret.client.signatures import signature_of
from leveret.client.streams.method import RemoteStreamMethod, RemoteUploadMethod
from leveret.contract import MethodSpec, Service, ServiceSpec, usable_spec_of
from leveret.of_one_process import OfOneProcess

R = TypeVar("R", bound="Remote")

_CLASSES: Final = 1024
"""The number of services whose remote classes are kept."""


class Ways(Struct, frozen=True, kw_only=True):
    """What differs between kinds of remotes."""

    make_codec: MakeCodec = typed_codec
    """Makes the codecs of the methods."""
    middleware: tuple[Middleware, ...] = ()
    """The middleware of these remotes, inside the client's."""


class _MethodOfRemote:
    """Makes the `RemoteMethod` at its first use; from then on that is an attribute of the remote.

    In the class it stands for a function: `help` shows its signature and docstring.
    """

    __defaults__ = None
    __kwdefaults__ = None

    def __init__(self, spec: MethodSpec) -> None:
        self._spec = spec
        self._name = self.__name__ = spec.attribute
        self.__doc__ = spec.doc
        if not spec.streams:
            self.__code__ = Invocation.call.__code__

    @property
    def __signature__(self) -> inspect.Signature:
        signature = signature_of(self._spec)
        me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        return signature.replace(parameters=(me, *signature.parameters.values()))

    def __call__(self, remote: Remote, /, *args: Any, **kwargs: Any) -> Any:
        """The method of a remote, called through its class."""
        return getattr(remote, self._name)(*args, **kwargs)

    def __get__(self, remote: Remote | None, owner: type[Remote]) -> Any:
        if remote is None:
            return self
        invocations, _, options, made = remote._leveret  # noqa: SLF001 - a part of it
        ways = remote._ways  # noqa: SLF001 - as above
        spec, name = self._spec, self._name
        middleware = (*invocations.middleware, *ways.middleware)
        method: RemoteMethod | RemoteStreamMethod
        if spec.streams or spec.upload is not None:
            opener = invocations.opener_of(spec, options, ways.make_codec)
            kind = RemoteStreamMethod if spec.streams else RemoteUploadMethod
            method = kind(opener, spec, options, NATIVE, middleware)
        else:
            invocation = made.get(name)
            if invocation is None:
                invocation = made[name] = invocations.of(spec, options, ways.make_codec)
            made_by = invocations, ways.make_codec
            method = RemoteMethod(invocation, spec, options, made_by, middleware)
        remote.__dict__[name] = method
        return method


class Remote(OfOneProcess):
    """A service on the other side of the broker; its methods are `RemoteMethod`s.

    Each service has a class of its own, with its methods; see `_class_of`.

    :param made: the invocations of its methods, by name. Remotes whose requests look the same share
        them.
    """

    _ways: ClassVar[Ways] = Ways()

    def __init__(
        self,
        invocations: Invocations,
        spec: ServiceSpec,
        options: CallOptions,
        made: dict[str, Invocation],
    ) -> None:
        self._leveret = (invocations, spec, options, made)

    def __getattr__(self, name: str) -> Any:
        # Only what is no attribute comes here.
        if name.startswith("__"):
            raise AttributeError(name)
        spec = self._leveret[1]
        raise AttributeError(
            f"{name!r} is not a remote method of {spec.name},"
            f" which has {', '.join(sorted(spec.methods))}"
        )

    def with_options(self, **options: Unpack[GivenOptions]) -> Self:
        """The same remote with other options for its calls; `Service.with_options` lists them."""
        invocations, spec, before, made = self._leveret
        if not options.keys() <= OF_A_CALL:
            made = {}
        return self.__class__(invocations, spec, before.merged(options), made)

    def __dir__(self) -> list[str]:
        return sorted((*self._leveret[1].methods, "with_options"))

    def __repr__(self) -> str:
        return f"<remote service {self._leveret[1].name}>"


@lru_cache(maxsize=_CLASSES)
def _class_of(kind: tuple[ServiceSpec, type[Remote]]) -> type[Remote]:
    """The class of a service's remotes; its methods are found without `__getattr__`."""
    spec, base = kind
    methods = {name: _MethodOfRemote(method) for name, method in spec.methods.items()}
    doc = spec.doc or f"The remote service {spec.name}."
    return type(f"{base.__name__}[{spec.name}]", (base,), {**methods, "__doc__": doc})


def remote_of_spec(
    spec: ServiceSpec, base: type[R], invocations: Invocations, options: CallOptions
) -> R:
    """Make a remote of a service, of the class `base`."""
    return cast("R", _class_of((spec, base))(invocations, spec, options, {}))


def remote_of(contract: type[Service], invocations: Invocations, options: CallOptions) -> Remote:
    """Make a remote of a contract.

    :raises ContractError: if it is not a service class, has no methods, or is generic.
    """
    spec = usable_spec_of(contract)
    return remote_of_spec(spec, Remote, invocations, options)
