"""Commands of ``%fs`` and ``%pip`` as words. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from .errors import Missing

_COMMENT = re.compile(r"""("(?:[^"\\]|\\.)*"|'[^']*'|\\.)|(?<!\S)(?<!\\\s)\#[^\n]*""", re.DOTALL)
_TRUTHS = {"true": True, "false": False}
_FILE_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "cp": ("from_", "to", "recurse"),
    "head": ("file", "maxBytes"),
    "help": (),
    "ls": ("path",),
    "mkdirs": ("dir",),
    "mounts": (),
    "mv": ("from_", "to", "recurse"),
    "put": ("file", "contents", "overwrite"),
    "refreshMounts": (),
    "rm": ("dir", "recurse"),
}
"""By command of ``%fs`` the parameters of the method of ``dbutils.fs``."""
_OPTIONS = {"-r": "recurse", "-R": "recurse", "--recurse": "recurse", "--overwrite": "overwrite"}


def words(line: str) -> list[str]:
    """The words of a command as a shell takes them: ``#`` begins a comment only at the beginning of a word."""
    return shlex.split(_COMMENT.sub(lambda match: match[1] or "", line))


def file_command(text: str) -> tuple[str, dict[str, Any]]:
    """The command of an ``%fs`` cell and its arguments by name.

    :raises Missing: there is no such command, option or argument, or there are several commands.
    """
    lines = [found for line in text.split("\n") if (found := words(line))]
    if len(lines) != 1:
        raise Missing(f"%fs: expected one command in a cell, such as ls /mnt/name, got {len(lines)}")
    command, *rest = lines[0]
    if command not in _FILE_COMMANDS:
        raise Missing(f"%fs {command}: takes one of {', '.join(_FILE_COMMANDS)}")
    names = _FILE_COMMANDS[command]
    arguments: dict[str, Any] = {}
    for word in rest:
        option, equals, value = word.partition("=")
        name = _OPTIONS.get(option, option.removeprefix("--"))
        if not word.startswith("-"):
            name, value = next((name for name in names if name not in arguments), ""), word
        elif not equals:
            value = "true"
        if name not in names:
            raise Missing(f"%fs {command} {word}: takes {', '.join(names).replace('from_', 'from') or 'nothing'}")
        arguments[name] = _TYPES.get(name, str)(value)
    return command, arguments


def _truth(text: str) -> bool:
    if text.lower() not in _TRUTHS:
        raise Missing(f"%fs: expected true or false, got {text!r}")
    return _TRUTHS[text.lower()]


def _number(text: str) -> int:
    if not text.isdecimal():
        raise Missing(f"%fs: expected a number of bytes, got {text!r}")
    return int(text)


_TYPES: Mapping[str, Callable[[str], Any]] = {"maxBytes": _number, "overwrite": _truth, "recurse": _truth}
