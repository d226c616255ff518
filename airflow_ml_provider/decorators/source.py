"""The source of one function, as a program that needs nothing of the file around it.

The body is taken from the file as it is, character by character: a multi-line text in it may look like anything. Only the head is written
anew, without decorators and annotations, which name things of the file. A function that is indented goes below ``if True:``.
"""

from __future__ import annotations

import ast
import builtins
import dis
import inspect
import json
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, NamedTuple

from airflow_ml_provider.core.errors import SpecError

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class FunctionSource(NamedTuple):
    """A function that runs elsewhere.

    :param text: defines it at the top level, under its name. The file's ``from __future__`` imports come first.
    :param defaults: values of parameters whose default is an expression of the file, such as a variable of a loop. They are arguments.
    """

    text: str
    defaults: dict[str, Any]


def check_function(function: Callable[..., Any], decorator: str) -> None:
    """Refuse what cannot run elsewhere, without reading the file.

    :param decorator: as the user writes it, for the message.
    :raises SpecError: the function is wrapped, is a lambda, or uses variables or imports of the file around it.
    """
    if not inspect.isfunction(function) or function.__name__ == "<lambda>":
        raise SpecError(f"{decorator}: got {function!r}: takes a function that is defined with def")
    where = f"{decorator} {function.__name__}"
    if hasattr(function, "__wrapped__"):
        raise SpecError(
            f"{where}: another decorator wraps the function, which is not shipped with it: use it inside the function"
        )
    code, own = function.__code__, {function.__name__, function.__code__.co_name}
    if outer := sorted(set(code.co_freevars) - own):
        raise SpecError(
            f"{where}: uses {_listed(outer)} of the function around it, which is not there on the cluster: take it as a parameter"
        )
    known = {*vars(builtins), *own, *_set_globals(code)}
    if unknown := sorted(
        name for name in _globals(code) if name.isidentifier() and name not in known and not name.startswith("__")
    ):
        raise SpecError(
            f"{where}: uses {_listed(unknown)} of the file around it, which is not there on the cluster: import or define it inside "
            "the function, or take it as a parameter"
        )


def function_source(function: Callable[..., Any], decorator: str) -> FunctionSource:
    """The source of a function that :func:`check_function` takes.

    :raises SpecError: the file cannot be read or was changed, or a default value can neither be shipped as source nor as JSON.
    """
    where = f"{decorator} {function.__name__}"
    lines, tree = _file(function, where)
    node = _node(tree, function, where)
    futures = sorted({name.name for item in tree.body if _is_future(item) for name in item.names})  # type: ignore[attr-defined]
    defaults = _shipped_defaults(node, function, where)
    head = f"from __future__ import {', '.join(futures)}\n\n" if futures else ""
    return FunctionSource(head + _definition(node, lines, frozenset(defaults)), defaults)


def _file(function: Callable[..., Any], where: str) -> tuple[list[str], ast.Module]:
    try:
        lines, _ = inspect.findsource(function)
        return lines, ast.parse("".join(lines))
    except (OSError, SyntaxError) as error:
        raise SpecError(
            f"{where}: its source cannot be read ({error}): define the function in a file or in a notebook's cell"
        ) from None


def _node(tree: ast.Module, function: Callable[..., Any], where: str) -> _Function:
    """The function's definition: that of its name which begins, with its first decorator, on its first line."""
    code = function.__code__
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS) and node.name == code.co_name and _first_line(node) == code.co_firstlineno:
            if _parameters(node) != list(code.co_varnames[: len(_parameters(node))]):
                break
            return node
    raise SpecError(f"{where}: {code.co_filename} was changed after it was loaded: run the task again")


def _definition(node: _Function, lines: list[str], without_default: frozenset[str]) -> str:
    indentation = lines[node.lineno - 1].encode()[: node.col_offset].decode()
    first = node.body[0]
    start = _first_line(first)
    line = lines[start - 1]
    before = line if start < first.lineno else line.encode()[: first.col_offset].decode()
    body = lines[start - 1 : node.end_lineno]
    if start == first.lineno and before.strip():  # the body stands beside the head
        body[0] = " " + line.encode()[first.col_offset :].decode()
        head = _head(node, without_default)
    else:
        head = _head(node, without_default) + "\n"
    text = indentation + head + "".join(body)
    return ("if True:\n" if indentation else "") + text.rstrip("\n") + "\n"


def _head(node: _Function, without_default: frozenset[str]) -> str:
    """``def name(parameters):``, without annotations."""
    arguments = ast.arguments(
        posonlyargs=_plain(node.args.posonlyargs),
        args=_plain(node.args.args),
        vararg=_plain([node.args.vararg])[0] if node.args.vararg else None,
        kwonlyargs=_plain(node.args.kwonlyargs),
        kw_defaults=[
            ast.Constant(None) if arg.arg in without_default else default
            for arg, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        ],
        kwarg=_plain([node.args.kwarg])[0] if node.args.kwarg else None,
        defaults=[ast.Constant(None) if name in without_default else default for name, default in _positional_defaults(node)],
    )
    keyword = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    return f"{keyword} {node.name}({ast.unparse(arguments)}):"


def _plain(parameters: list[ast.arg]) -> list[ast.arg]:
    return [ast.arg(arg=parameter.arg) for parameter in parameters]


def _positional_defaults(node: _Function) -> list[tuple[str, ast.expr]]:
    names = [parameter.arg for parameter in (*node.args.posonlyargs, *node.args.args)]
    return list(zip(names[len(names) - len(node.args.defaults) :], node.args.defaults, strict=True))


def _shipped_defaults(node: _Function, function: Callable[..., Any], where: str) -> dict[str, Any]:
    """The defaults that are no source of their own, by the values that they have here."""
    named = [
        (parameter.arg, default)
        for parameter, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        if default
    ]
    signature = inspect.signature(function)
    found = {}
    for name, expression in [*_positional_defaults(node), *named]:
        if not _free_names(expression) - set(vars(builtins)):
            continue
        found[name] = signature.parameters[name].default
        try:
            json.dumps(found[name])
        except (TypeError, ValueError) as error:
            raise SpecError(
                f"{where}: the default of parameter {name!r}, {ast.unparse(expression)}, is not there on the cluster, and is not valid "
                f"JSON ({error}): make it inside the function"
            ) from None
    return found


def _free_names(expression: ast.expr) -> set[str]:
    """The names that an expression takes from around it."""
    nodes = list(ast.walk(expression))
    names = [one for one in nodes if isinstance(one, ast.Name)]
    bound = {one.arg for one in nodes if isinstance(one, ast.arg)} | {one.id for one in names if isinstance(one.ctx, ast.Store)}
    return {one.id for one in names} - bound


def _parameters(node: _Function) -> list[str]:
    return [parameter.arg for parameter in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a function and of all that is defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _globals(code: CodeType) -> set[str]:
    """The names that are read from the module, or in a class from wherever they are."""
    found = set()
    for one in _codes(code):
        local = {
            instruction.argval for instruction in dis.get_instructions(one) if instruction.opname in ("STORE_NAME", "DELETE_NAME")
        }
        found |= {
            instruction.argval
            for instruction in dis.get_instructions(one)
            if instruction.opname == "LOAD_GLOBAL" or (instruction.opname == "LOAD_NAME" and instruction.argval not in local)
        }
    return found


def _set_globals(code: CodeType) -> set[str]:
    """The names that the function itself makes global."""
    return {
        instruction.argval
        for one in _codes(code)
        for instruction in dis.get_instructions(one)
        if instruction.opname == "STORE_GLOBAL"
    }


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names))
