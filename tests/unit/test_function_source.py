"""The source of a function of a DAG file, taken out of it."""

from __future__ import annotations

import asyncio
import importlib.util
import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.decorators.source import check_function, function_source

TASK = "@task.spark_job"
HEAD = "def job(*args, **kwargs):\n    return lambda function: function\n\n"
Load = Callable[[str | bytes], ModuleType]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Import a text as a file of its own."""

    def load_text(text: str | bytes) -> ModuleType:
        path = tmp_path / f"dag_{len(list(tmp_path.iterdir()))}.py"
        path.write_bytes(text if isinstance(text, bytes) else (HEAD + text).encode())
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load_text


def shipped(function: Callable[..., Any], **arguments: Any) -> Any:
    """What the function returns where nothing of its file is."""
    check_function(function, TASK)
    source = function_source(function, TASK)
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source.text, "program", "exec", dont_inherit=True), space)
    result = space[function.__code__.co_name](**{**source.defaults, **arguments})
    return asyncio.run(result) if asyncio.iscoroutine(result) else result


TEXTS = '''
@job(
    cluster="etl",  # a comment
    env={"A": """
# not a comment
"""},
)
def texts(spark=None):
    query = """
# kept
    select '#'
further left
\ttab \\\\ and \\n
    """
    return query, f"""{query}
  # {len(query)}
"""
'''


def test_texts_stay_as_they_are(load: Load) -> None:
    texts = load(TEXTS).texts
    assert shipped(texts) == texts()
    assert "# kept\n" in texts()[0] and "\nfurther left\n" in texts()[0]


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("step", ["    ", "\t", "  "])
def test_it_may_stand_anywhere(load: Load, depth: int, step: str) -> None:
    outer = "".join(f"{step * level}if True:\n" for level in range(depth))
    inner = "\n".join(step * depth + line if line else "" for line in TEXTS.replace("texts", "deep").splitlines()[1:7])
    body = TEXTS.partition("def texts(spark=None):\n")[2].replace("    query =", f"{step * depth}  query =")
    body = body.replace("    return", f"{step * depth}  return")
    deep = load(f"{outer}{inner}\n{step * depth}def deep(spark=None):\n{body}").deep
    assert shipped(deep) == deep()


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_a_byte_order_mark(load: Load, ends: str, mark: bytes) -> None:
    text = 'if True:\n    def f(a: int):\n        """Doc é\n# é\n        """\n        b = "é"; return [a, b]\n\n\nother = 1\n'
    f = load(mark + text.replace("\n", ends).encode()).f
    assert shipped(f, a=1) == [1, "é"]


def test_a_latin_1_file(load: Load) -> None:
    f = load("# -*- coding: latin-1 -*-\nx = 'éé'; y = 0\ndef f():\n    return 'é'\n".encode("latin-1")).f
    assert shipped(f) == "é"


FORMS = {
    "one line": ("def f(a: int = 1): return a", 1),
    "two on a line": ("def f(a=1): b = a; return b", 1),
    "head of many lines": (
        "def f(\n    a: 'Undefined' = 1,  # x\n    *, b: dict[str, Undefined] = {},\n) -> Undefined:\n    return [a, b]",
        [1, {}],
    ),
    "head of many lines, body beside it": ("def f(\n    a=1,\n    b=2): return a + b", 3),
    "colons": ("def f(a: {1: 2}[1] = {1: 5}[1], b=lambda x: x):\n    return b(a)", 5),
    "a comment first": ("def f():\n# left\n    # right\n    return 1", 1),
    "a doc string": ("def f():\n    'doc'\n    return 1", 1),
    "a decorated function first": ("def f():\n    @staticmethod\n    def g():\n        return 1\n    return g()", 1),
    "async": ("async def f(a=1):\n    return a", 1),
    "others": ("def f(a=1, **others):\n    return [a, others]", [1, {}]),
    "recursion": ("def f(n=3):\n    return n and n + f(n=n - 1)", 6),
    "a global of its own": ("def f():\n    global x\n    x = 1\n    return x", 1),
    "a class": ("def f():\n    class A:\n        x = 1\n        y = x\n    return A.y", 1),
    "a comprehension": ("def f(a=2):\n    return [b for b in range(a)]", [0, 1]),
    "positions": ("def f(a=(1, 2), b=-1, c='x' * 3, d=frozenset()):\n    return [*a, b, c, len(d)]", [1, 2, -1, "xxx", 0]),
    "backslashes": ("def f(a=1, \\\n        b=2):\n    return a + \\\n  b", 3),
    "last line": ("def f():\n    return '''\n# x'''", "\n# x"),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(load: Load, name: str) -> None:
    text, expected = FORMS[name]
    f = load(f"from __future__ import annotations\n\n@(lambda f: f)\n{text}\nafter = 1\n".encode()).f
    assert shipped(f) == expected


def test_annotations_inside_are_evaluated_as_in_the_file(load: Load) -> None:
    """pandas UDFs are known by theirs: with ``from __future__ import annotations`` they would be texts."""
    text = "def f(a: 'Any' = 1):\n    def g(x: int) -> str: pass\n    return str(g.__annotations__['x'])\n"
    assert shipped(load(text).f) == "<class 'int'>"
    assert shipped(load(f"from __future__ import annotations\n{text}".encode()).f) == "int"


def test_functions_of_a_loop_keep_their_defaults(load: Load) -> None:
    text = """
made = []
for table in ("a", "b"):
    @job(table)
    def count(spark=None, table=table, *, upper=table.upper()):
        return [table, upper]
    made.append(count)
"""
    module = load(text)
    assert [shipped(function) for function in module.made] == [["a", "A"], ["b", "B"]]
    assert shipped(module.made[0], table="c") == ["c", "A"]


REFUSED = {
    "a variable of the function around": (
        "def g():\n    x = 1\n    def f():\n        return x\n    return f\nf = g()",
        "uses 'x' of the function",
    ),
    "an import of the file": ("import json\ndef f():\n    return json.dumps(1)", "uses 'json' of the file around it"),
    "constants of the file": ("A = B = 1\ndef f():\n    return [lambda: A, B]", "uses 'A', 'B' of the file"),
    "a name of nowhere": ("def f():\n    return dbutils", "uses 'dbutils' of the file"),
    "lambda": ("f = lambda: 1", "takes a function that is defined with def"),
    "a class": ("class f:\n    pass", "takes a function that is defined with def"),
    "wrapped": (
        "import functools\ndef w(g):\n    @functools.wraps(g)\n    def h(): return g()\n    return h\n@w\ndef f(): return 1",
        "another decorator wraps",
    ),
    "a default": (
        "import datetime\ndef f(day=datetime.date(2020, 1, 1)):\n    return day",
        r"default of parameter 'day', datetime.date\(2020, 1, 1\)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_run_elsewhere_is_refused(load: Load, name: str) -> None:
    text, told = REFUSED[name]
    f = load(text).f
    with pytest.raises(SpecError, match=told):
        shipped(f)


def test_a_function_without_a_file_is_refused() -> None:
    space: dict[str, Any] = {}
    exec("def f():\n    return 1\n", space)
    with pytest.raises(SpecError, match="its source cannot be read.*define the function in a file"):
        shipped(space["f"])


def test_a_cell_of_a_notebook_has_its_source() -> None:
    """IPython gives each cell to linecache under the name that it compiles it with."""
    text, space = "if True:\n    def f():\n        return '''\n# x'''\n", {"__name__": "__main__"}
    linecache.cache["<ipython-input-1>"] = (len(text), None, text.splitlines(keepends=True), "<ipython-input-1>")
    exec(compile(text, "<ipython-input-1>", "exec"), space)
    assert shipped(space["f"]) == "\n# x"  # type: ignore[arg-type]


def test_a_file_that_has_changed_is_refused(load: Load) -> None:
    module = load("def f():\n    return 1\n")
    assert module.__file__
    Path(module.__file__).write_text(HEAD + "\n\n\ndef f():\n    return 2\n")
    with pytest.raises(SpecError, match="was changed after it was loaded"):
        shipped(module.f)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters")
def test_type_parameters_stay_behind(load: Load) -> None:
    assert shipped(load("def f[T](a: T = 1) -> T:\n    return a\n").f) == 1
