"""What may come next on a command line: commands, options, choices, names that are live. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import EnumType, StrEnum
from typing import Any, Final, Protocol, runtime_checkable

from msgspec import Struct

__all__ = ["SCRIPTS", "Live", "Next", "Shell", "next_words"]


class Shell(StrEnum):
    """The shells that can complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


SCRIPTS: Final = {
    Shell.BASH: """\
_leveret() {
  local IFS=$'\\n'
  COMPREPLY=($(leveret complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o bashdefault -o default -F _leveret leveret
""",
    Shell.ZSH: """\
#compdef leveret
_leveret() {
  local -a found
  found=("${(@f)$(leveret complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "${found[1]}" ]]; then compadd -a found; else _files; fi
}
compdef _leveret leveret
""",
    Shell.FISH: """\
function _leveret
    set -l found (leveret complete -- (commandline -opc)[2..-1] "$(commandline -ct)" 2>/dev/null)
    if set -q found[1]
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c leveret -f -a '(_leveret)'
""",
}
"""What a shell reads. Each asks `leveret complete -- WORD...`, whose last word is not complete."""


class Live(StrEnum):
    """What is asked of servers, or of the user's contexts, to complete a word."""

    SERVICES = "services"
    METHODS = "methods"
    CONTEXTS = "contexts"


class Next(Struct, frozen=True, kw_only=True):
    """What may come next."""

    words: list[str]
    """Words that begin as the last one does."""
    live: Live | None = None
    """Of what kind other words may be; None if they are not to be asked for."""
    url: str | None = None
    """The broker that the words before name."""


@runtime_checkable
class _Group(Protocol):
    """A command of click with commands of its own; its copy is Typer's or not, by its version."""

    commands: Mapping[str, Any]


def next_words(command: Any, words: Sequence[str]) -> Next:
    """What may stand for the last of the words, which may be empty.

    :param command: of click, as Typer makes it.
    """
    *before, last = words or [""]
    place = _Place(command)
    for word in before:
        place.pass_by(word)
    return place.complete(last)


class _Place:
    """Where in a command line the next word stands."""

    def __init__(self, command: Any) -> None:
        self._command = command
        self._option: Any = None
        """The option whose value comes next."""
        self._arguments = 0
        self._only_arguments = False
        self._url: str | None = None

    def pass_by(self, word: str) -> None:
        """Go on behind a word."""
        if self._option is not None:
            self._note(self._option, word)
            self._option = None
        elif self._only_arguments or not word.startswith("-") or word == "-":
            self._argument(word)
        elif word == "--":
            self._only_arguments = True
        else:
            name, equals, value = word.partition("=")
            option = self._named(name)
            if option is not None and not option.is_flag:
                if equals:
                    self._note(option, value)
                else:
                    self._option = option

    def _argument(self, word: str) -> None:
        command = self._command
        if isinstance(command, _Group) and word in command.commands:
            self._command = command.commands[word]
            self._arguments = 0
        else:
            self._arguments += 1

    def _note(self, option: Any, value: str) -> None:
        if option.name == "url":
            self._url = value

    def complete(self, last: str) -> Next:
        """What may stand for the last word."""
        if self._option is not None:
            return self._value(self._option, last, "")
        if last.startswith("-") and not self._only_arguments:
            name, equals, value = last.partition("=")
            option = self._named(name) if equals else None
            if option is not None:
                return self._value(option, value, f"{name}=")
            return Next(words=_beginning(last, sorted(self._options())))
        if isinstance(self._command, _Group):
            commands = self._command.commands
            names = [name for name in commands if not getattr(commands[name], "hidden", False)]
            return Next(words=_beginning(last, sorted(names)))
        arguments = [it for it in self._command.params if it.param_type_name == "argument"]
        if not arguments:
            return Next(words=[])
        return self._value(arguments[min(self._arguments, len(arguments) - 1)], last, "")

    def _value(self, parameter: Any, last: str, before: str) -> Next:
        words = [f"{before}{choice}" for choice in _beginning(last, _choices(parameter))]
        return Next(words=words, live=None if before else _live(parameter), url=self._url)

    def _named(self, name: str) -> Any:
        return self._options().get(name)

    def _options(self) -> dict[str, Any]:
        return {
            name: parameter
            for parameter in self._command.params
            if parameter.param_type_name == "option" and not parameter.hidden
            for name in (*parameter.opts, *parameter.secondary_opts)
        } | {"--help": _Flag()}


class _Flag:
    """`--help`, which click adds later."""

    name = "help"
    is_flag = True


def _choices(parameter: Any) -> list[str]:
    """The values that it may have; none where any text may do. Versions of Typer differ here."""
    choices = getattr(getattr(parameter, "type", None), "choices", None)
    if choices is None:
        choices = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
        if not isinstance(choices, EnumType):
            return []
    return [str(getattr(choice, "value", choice)) for choice in choices]


def _beginning(last: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(last)]


def _live(parameter: Any) -> Live | None:
    shown = parameter.metavar or ""
    if parameter.name == "url":
        return Live.CONTEXTS
    if "METHOD" in shown:
        return Live.METHODS
    if "SERVICE" in shown and ":" not in shown:
        return Live.SERVICES
    if shown == "PATTERN":
        return Live.SERVICES
    return None
