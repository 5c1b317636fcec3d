"""The RabbitMQ of the tests: `leveret.testing.RabbitMQ` that apt may install, or from a chroot."""

from __future__ import annotations

from typing import Final

from leveret import testing
from leveret.testing import RabbitMQUnavailable, TLSFiles
from leveret.testing.rabbitmq.installed import Installation, Machine, find_installation
from leveret.testing.rabbitmq.place import say
from tests import apt
from tests.rabbitmq.chroot import find_installation_in, machine_here, root_folder

__all__ = ["RabbitMQ", "find_or_install"]

# A vhost takes its connections, queues and exchanges with it.
_CLEAR: Final = (
    'By = <<"leveret">>, '
    "[rabbit_vhost:delete(Name, By) || Name <- rabbit_vhost:list_names()], "
    "[rabbit_auth_backend_internal:delete_user(proplists:get_value(user, User), By) "
    "|| User <- rabbit_auth_backend_internal:list_users(), "
    'proplists:get_value(user, User) =/= <<"guest">>]'
)


def find_or_install(*, install: bool = False) -> Installation | None:
    """The RabbitMQ in LEVERET_RABBITMQ_ROOT, or else the one on this machine; None without.

    :param install: have apt install it where there is none, as root or with passwordless sudo.
    :raises RabbitMQUnavailable: if LEVERET_RABBITMQ_ROOT has none that can be run, or apt failed.
    """
    root = root_folder()
    if root is not None:
        return find_installation_in(root)
    found = find_installation()
    if found is None and install and (command := apt.apt_command()) is not None:
        say("installing rabbitmq-server with apt (once; it takes a minute)")
        try:
            apt.install(command, "rabbitmq-server")
        except apt.AptFailed as error:
            raise RabbitMQUnavailable(str(error)) from error
        found = find_installation()
    return found


class RabbitMQ(testing.RabbitMQ):
    """`leveret.testing.RabbitMQ`, which also finds the one in LEVERET_RABBITMQ_ROOT.

    :param install: have apt install it where there is none.
    """

    def __init__(
        self, *, private: bool = False, install: bool = False, tls: TLSFiles | None = None
    ) -> None:
        super().__init__(private=private, tls=tls)
        self._install = install

    def clear(self) -> None:
        """Start it if it does not run, and leave nothing of what was done to it before."""
        self.start()
        self.unblock_publishers()
        self.evaluate(_CLEAR)
        self.add_vhost("/")

    def check(self) -> None:
        """Find a RabbitMQ, or install one, and start nothing.

        :raises RabbitMQUnavailable: if there is none.
        """
        self._choose()

    def _find_installation(self) -> Installation | None:
        return find_or_install(install=self._install)

    @classmethod
    def _machine(cls) -> Machine:
        return machine_here()
