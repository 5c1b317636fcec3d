"""Loads what `module:name` names: a service, a function that makes one, or middleware."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, TypeVar, cast

from leveret.cli.current_folder import current_folder
from leveret.contract import Service
from leveret.errors import LeveretError
from leveret.server.handlers.execution import Middleware

__all__ = ["TargetError", "find_target", "load_middleware", "load_services"]

T = TypeVar("T")


class TargetError(LeveretError):
    """A target cannot be loaded. The message says which, why, and where in the code."""


def load_services(targets: Iterable[str]) -> list[Service]:
    """Load the services to serve. Instantiates classes, and calls factories.

    :raises TargetError: if a target does not exist, or importing or making it fails.
    """
    return [_instance(target, find_target(target)) for target in targets]


def load_middleware(targets: Iterable[str]) -> list[Middleware]:
    """Load server middleware.

    :raises TargetError: if a target does not exist, or cannot be called with a call and
        `call_next`, or importing it fails.
    """
    return [_middleware(target, find_target(target, "module:function")) for target in targets]


def find_target(target: str, form: str = "module:Service") -> Any:
    """The object that `module:name` names. Modules in the current directory can be imported.

    :raises TargetError: if it does not exist, or importing its module fails.
    """
    module_name, colon, path = target.partition(":")
    if not (module_name and colon and path):
        raise TargetError(f"{target!r} is no target: write {form}")
    found: Any = _import(target, module_name)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise TargetError(_no_such_name(target, module_name, name)) from None
    return found


def _import(target: str, module_name: str) -> ModuleType:
    here = current_folder()
    if here is not None and str(here) not in sys.path:
        sys.path.insert(0, str(here))
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            where = f"in {here}" if here is not None else "here, in a folder that was removed,"
            raise TargetError(
                f"{target}: there is no module {error.name!r}, neither {where} nor installed"
            ) from error
        raise _failed(target, f"importing {module_name}", error) from error
    except (Exception, SystemExit) as error:
        raise _failed(target, f"importing {module_name}", error) from error


def _no_such_name(target: str, module_name: str, name: str) -> str:
    services = [
        other
        for other, value in vars(sys.modules[module_name]).items()
        if isinstance(value, type) and issubclass(value, Service) and value is not Service
    ]
    there = f"; its services are {', '.join(services)}" if services else ""
    return f"{target}: the module {module_name} has no {name!r}{there}"


def _instance(target: str, found: Any) -> Service:
    if isinstance(found, Service):
        return found
    if inspect.iscoroutinefunction(found):
        raise TargetError(
            f"{target}: an async function cannot make a service; open what needs awaiting in the"
            " service's __aenter__"
        )
    if not callable(found) or (isinstance(found, type) and not issubclass(found, Service)):
        raise TargetError(
            f"{target} is {_kind(found)}; name a subclass of leveret.Service, an instance of one,"
            " or a function without arguments that returns one"
        )
    if inspect.isabstract(found):
        missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        raise TargetError(
            f"{target} is a contract without implementation ({missing}); name the class that"
            " implements it"
        )
    _refuse_arguments(target, found)
    made = _call(target, found)
    if not isinstance(made, Service):
        raise TargetError(f"{target}() returned {_kind(made)}, not an instance of leveret.Service")
    return made


def _middleware(target: str, found: Any) -> Middleware:
    if not callable(found) or isinstance(found, type) or not _takes_two(found):
        shown = f"def {found.__name__}" if inspect.isfunction(found) else _kind(found)
        raise TargetError(
            f"{target} is {shown}; name middleware, which is an `async def (call, call_next)`"
        )
    return cast("Middleware", found)


def _takes_two(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        return False
    except ValueError:
        pass  # made in C, without a signature
    return True


def _refuse_arguments(target: str, make: Callable[..., object]) -> None:
    """Refuse a class or factory that needs arguments.

    :raises TargetError: if it does.
    """
    try:
        signature = inspect.signature(make)
    except (TypeError, ValueError):
        return  # made in C, without a signature
    try:
        signature.bind()
    except TypeError as error:
        raise TargetError(
            f"{target}{signature} cannot be called without arguments: {error}; write a function"
            " that makes the service, and name that"
        ) from None


def _call(target: str, make: Callable[[], T]) -> T:
    try:
        return make()
    except (Exception, SystemExit) as error:
        raise _failed(target, f"calling {target}()", error) from error


def _failed(target: str, doing: str, error: BaseException) -> TargetError:
    """The error for an exception in the user's code: what it was, and in which line."""
    return TargetError(f"{target}: {doing} raised {type(error).__name__}: {error}{_where(error)}")


def _where(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return ""  # its text already has file and line
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if "importlib" not in frame.filename]
    last = outside[-1] if outside else None
    if last is None or last.filename == __file__:
        return ""
    return f" ({last.filename}, line {last.lineno})"


def _kind(found: object) -> str:
    if isinstance(found, type):
        return f"the class {found.__qualname__}"
    return f"of type {type(found).__qualname__}"
