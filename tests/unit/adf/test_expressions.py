"""The expression language. The values are those of Microsoft's own evaluator, in .NET's invariant culture."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ml_provider.adf.errors import EvaluationError, ExpressionError, ExpressionSyntaxError
from airflow_ml_provider.adf.expressions.evaluator import evaluate
from airflow_ml_provider.adf.expressions.functions import FUNCTIONS
from airflow_ml_provider.adf.expressions.properties import resolve

STATE: dict[str, Any] = {
    "parameters": {"n": 1, "s": "txt", "list": [1, 2, 3], "bag": {"k": "v", "none": None}, "none": None},
    "globalParameters": {"env": "dev"},
    "variables": {"v": "vv"},
    "item": {"x": 1},
    "activities": {"Look up": {"output": {"firstRow": {"c": 5}, "value": [1, 2]}, "status": "Succeeded", "error": {}}},
    "pipeline": {"RunId": "run-1"},
}

VALUES = {
    # texts
    "plain": "plain",
    "": "",
    "@": "@",
    "@@{a}": "@{a}",
    "@@concat('a')": "@concat('a')",
    "x@{'a'}@@{'b'}@{'}'}": "xa@{'b'}}",
    "@{100}": "100",
    "@{null}": "",
    "@{true} and @{1.0}": "True and 1",
    " @concat('a')": " @concat('a')",
    "@concat('it''s')": "it's",
    "@TRUE": True,
    "@-1": -1,
    # places
    "@PIPELINE().PARAMETERS.S": "txt",
    "@pipeline().globalParameters.env": "dev",
    "@pipeline().RunId": "run-1",
    "@pipeline()['parameters']['s']": "txt",
    "@pipeline().parameters?.missing": None,
    "@pipeline().parameters.bag?.zz?.y": None,
    "@pipeline().parameters.list?[5]": None,
    "@pipeline().parameters.list[pipeline().parameters.n]": 2,
    "@activity('look UP').output.firstRow.c": 5,
    "@variables('V')": "vv",
    "@item().x": 1,
    '@json(\'{"A":1,"a":2}\').a': 2,
    # lazy
    "@if(true,1,nothing())": 1,
    "@and(false,variables('zz'))": False,
    "@or(true,'x')": True,
    "@coalesce(null,1,variables('zz'))": 1,
    # numbers
    "@add(1,2)": 3,
    "@add(1,2.0)": 3.0,
    "@div(-7,2)": -3,
    "@div(10,4.0)": 2.5,
    "@mod(-7,3)": -1,
    "@int('1,000')": 1000,
    "@int('1e3')": 1000,
    "@float(' 1.5 ')": 1.5,
    "@float('1e400')": "Infinity",
    "@string(1e20)": "1E+20",
    "@string(1e16)": "10000000000000000",
    "@string(0.00001)": "1E-05",
    "@{createArray(1e16,1.0,true,null)}": "[10000000000000000.0,1.0,true,null]",
    "@range(-2,3)": [-2, -1, 0],
    # comparisons
    "@equals(1,1.0)": True,
    "@equals('a','A')": False,
    "@equals(true,1)": False,
    "@equals(json('[1]'),json('[1.0]'))": False,
    "@greater('B','a')": False,
    "@contains(createArray(1,2),1.0)": False,
    "@contains('Hello','ELL')": False,
    "@startsWith('Hello','he')": True,
    # collections and strings
    "@length('😀')": 2,
    "@lastIndexOf('hello','')": 4,
    "@union(createArray(1,1),createArray(1.0,3))": [1, 1.0, 3],
    "@union(createArray(1,2,3),createArray(1,2,10,101))": [1, 2, 3, 10, 101],
    '@intersection(json(\'{"a":1,"b":2}\'),json(\'{"a":1,"b":3}\'))': {"a": 1},
    "@join(createArray(1,2.50,true,null,'x'),'-')": "1-2.5-True--x",
    "@substring('hello',1,3)": "ell",
    "@uriComponent('a b&c/é')": "a%20b%26c%2F%C3%A9",
    "@dataUriToString('data:,hello%20x')": "hello x",
    "@string(binary('abc'))": "abc",
    # JSON and XML
    "@json('{a:1, ''b'':[1,],}')": {"a": 1, "b": [1]},
    "@json('0x10')": 16,
    "@json('')": None,
    "@string(xml('<a><b></b><c/></a>'))": "<a><b></b><c /></a>",
    "@json(xml('<a x=\"1\"><b/><b>2</b></a>'))": {"a": {"@x": "1", "b": [None, "2"]}},
    "@xpath(xml('<a><b>1</b><b>2</b></a>'),'sum(/a/b)')": 3.0,
    "@xpath(xml('<a><b>1</b></a>'),'/a/b/text()')": ["1"],
    "@string(xpath(xml('<a><b>1</b></a>'),'/a/b')[0])": "<b>1</b>",
    # dates
    "@formatDateTime('2024-02-29T13:05:09')": "2024-02-29T13:05:09.0000000",
    "@formatDateTime('2024-02-29T13:05:09+02:00')": "2024-02-29T11:05:09.0000000+00:00",
    "@formatDateTime('2024-02-29','dddd, d MMM yyyy')": "Thursday, 29 Feb 2024",
    "@formatDateTime('02/29/2024 1:05 PM','g')": "2/29/2024 1:05 PM",
    "@formatDateTime('2024-02-29T13:05:09Z','ss.FFF|%h')": "09|1",
    "@addToTime('2024-01-31T00:00:00Z',1,'Month')": "2024-02-29T00:00:00.0000000Z",
    "@convertTimeZone('2024-07-29T13:05:09Z','UTC','India Standard Time')": "2024-07-29T18:35:09.0000000",
    "@convertToUtc('2024-07-29T13:05:09','Romance Standard Time')": "2024-07-29T11:05:09.0000000Z",
    "@dayOfWeek('2024-03-03')": 0,
    "@ticks('2024-02-29T13:05:09.1234567Z')": 638448087091234567,
}

DOCUMENTED = {
    "@endsWith('hello world','world')": True,
    "@indexOf('hello world','world')": 6,
    "@split('a;b;c',';')": ["a", "b", "c"],
    "@first(createArray(0,1,2))": 0,
    "@last('abcd')": "d",
    "@skip(createArray(0,1,2,3),1)": [1, 2, 3],
    "@take('abcde',3)": "abc",
    "@intersection(createArray(1,2,3),createArray(101,2,1,10),createArray(6,8,1,2))": [1, 2],
    "@lessOrEquals('apply','apple')": False,
    "@array('hello')": ["hello"],
    "@base64('hello')": "aGVsbG8=",
    "@base64ToString('aGVsbG8=')": "hello",
    "@bool(0)": False,
    "@coalesce(null,'hello','world')": "hello",
    "@dataUri('hello')": "data:text/plain;charset=utf-8;base64,aGVsbG8=",
    "@decodeDataUri('data:text/plain;charset=utf-8;base64,aGVsbG8=')": "hello",
    "@decodeUriComponent('http%3A%2F%2Fcontoso.com')": "http://contoso.com",
    "@float('10.333')": 10.333,
    '@string(json(\'{"name":"Sophie Owen"}\'))': '{"name":"Sophie Owen"}',
    '@string(xml(json(\'{"person":{"name":"Sophia Owen"}}\')))': "<person><name>Sophia Owen</name></person>",
    "@xpath(xml('<p><i><count>20</count></i><i><count>10</count></i></p>'),'sum(/p/i/count)')": 30.0,
    "@div(11,5)": 2,
    "@mul(1.5,2)": 3.0,
    "@range(1,4)": [1, 2, 3, 4],
    "@addDays('2018-03-15T13:00:00Z',10)": "2018-03-25T13:00:00.0000000Z",
    "@addMinutes('2018-03-15T00:20:00Z',-5)": "2018-03-15T00:15:00.0000000Z",
    "@addToTime('2018-01-01T00:00:00Z',1,'Day','D')": "Tuesday, January 2, 2018",
    "@convertFromUtc('2018-01-01T08:00:00.0000000Z','Pacific Standard Time','D')": "Monday, January 1, 2018",
    "@convertTimeZone('2018-01-01T08:00:00.0000000Z','UTC','Pacific Standard Time')": "2018-01-01T00:00:00.0000000",
    "@convertToUtc('01/01/2018 00:00:00','Pacific Standard Time')": "2018-01-01T08:00:00.0000000Z",
    "@dayOfYear('2018-03-15T13:27:36Z')": 74,
    "@formatDateTime('03/15/2018 12:00:00','yyyy-MM-ddTHH:mm:ss')": "2018-03-15T12:00:00",
    "@startOfHour('2018-03-15T13:30:30Z')": "2018-03-15T13:00:00.0000000Z",
    "@subtractFromTime('2018-01-02T00:00:00Z',1,'Day','D')": "Monday, January 1, 2018",
    # edges beside the examples
    "@formatDateTime('2018-03-15T13:27:36.1234567Z','fff FFF fffffff K zzz')": "123 123 1234567 Z +00:00",
    "@formatDateTime('2018-03-15T13:27:36Z','yyyy''W''')": "2018W",
    "@formatDateTime('2018-03-15T13:27:36Z','R')": "Thu, 15 Mar 2018 13:27:36 GMT",
    "@ticks('0001-01-01T00:00:00Z')": 0,
    "@concat('it''s',' ''q''')": "it's 'q'",
    "@concat(1,null,true,1.0)": "1True1",
    "@string(createArray(1,'a',null,1.5,true))": '[1,"a",null,1.5,true]',
    "x@{pipeline().parameters.bag}": 'x{"k":"v","none":null}',
    "@activity('Look up').output?.nope?.x": None,
    "@split('abc','')": ["abc"],
}
"""Examples of Microsoft's documentation, in the form that the evaluator gives the values: dates with seven digits."""

FAULTS = {
    "@concat('a'": "it ends: takes ')' or ','",
    '@concat("a")': "got '\"'",
    "@pipeline().globalParameters.GP-Int": "got '-Int'|got '-'",
    "@{'a'": "is not closed",
    "@nothing(1)": "no such function",
    "@pipeline().parameters.missing": "there is no property 'missing'",
    "@pipeline().parameters.s?.x": "got 'x' of a value of type String",
    "@variables('zz')": "there is no variable 'zz'",
    "@add('1',2)": "argument 1: got a value of type String: takes Float or Integer",
    "@add(9223372036854775807,1)": "takes a result of 64 bits",
    "@div(1,0)": "takes what divides",
    "@if('true',1,2)": "argument 1: got a value of type String: takes Boolean",
    "@createArray()": "got 0 arguments: takes 1 or more",
    "@int('1.5')": "takes an integer",
    "@json('{\"a\":}')": "no JSON",
    "@xml('<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>')": "document type",
    "@formatDateTime('29/02/2024')": "takes a date and time",
    "@formatDateTime('2024-02-29','x')": "got the format 'x'",
    "@convertToUtc('2024-03-31T02:30:00','Europe/Paris')": "does not have",
    "@convertFromUtc('2024-07-29T13:05:09','UTC')": "takes a time in UTC",
}


@pytest.mark.parametrize("text", VALUES | DOCUMENTED)
def test_values(text: str) -> None:
    value, expected = evaluate(text, STATE), (VALUES | DOCUMENTED)[text]
    assert (type(value), value) == (type(expected), expected)


@pytest.mark.parametrize("text", FAULTS)
def test_faults(text: str) -> None:
    with pytest.raises(ExpressionError, match=FAULTS[text] if "|" in FAULTS[text] else re.escape(FAULTS[text])):
        evaluate(text, STATE)


def test_all_documented_functions_are_there() -> None:
    assert len(FUNCTIONS) == 84


def test_an_error_names_function_position_and_expression() -> None:
    with pytest.raises(EvaluationError) as caught:
        evaluate("@concat('a', int('x'))", STATE)
    assert (caught.value.function, caught.value.position) == ("int", 13)
    assert str(caught.value).startswith("function 'int', position 13 of \"@concat('a', int('x'))\": argument 1")


def test_depth_and_size_are_bounded() -> None:
    with pytest.raises(ExpressionSyntaxError, match="100 at most"):
        evaluate("@" + "array(" * 5000 + "1" + ")" * 5000, {})
    with pytest.raises(ExpressionSyntaxError, match="100 at most"):
        evaluate("@item()" + ".a" * 5000, {})
    doubled = "'aaaaaaaaaa'"
    for _ in range(8):
        doubled = f"replace({doubled},'a','aaaaaaaaaa')"
    with pytest.raises(EvaluationError, match="more than"):
        evaluate(f"@{doubled}", {})


def test_a_tree_of_properties() -> None:
    tree = {"a": {"value": "@pipeline().parameters.n", "type": "Expression"}, "b": ["x@{item().x}", "@@y", 3], "type": "Text"}
    assert resolve(tree, STATE) == {"a": 1, "b": ["x1", "@y", 3], "type": "Text"}


_WORDS = st.sampled_from([*FUNCTIONS, "item", "activity", "pipeline", "variables", "(", ")", "[", "]", ".", "?", ",", "'", "@", "@{", "}", "1", "-2.5", "'a'", "null", "true", "{", "<a>", "2024-02-29", " "])  # fmt: skip
_LEAVES = st.sampled_from(["1", "-1", "2.5", "'a'", "''", "null", "true", "'2024-02-29'", "'UTC'", "item()", "'[1]'", "'<a/>'", "createArray(1,'b')", "9223372036854775807", "json('{\"a\":1}')"])  # fmt: skip
_CALLS = st.recursive(
    _LEAVES,
    lambda inner: st.tuples(st.sampled_from(sorted(FUNCTIONS)), st.lists(inner, max_size=4)).map(
        lambda call: f"{call[0]}({','.join(call[1])})"
    ),
    max_leaves=8,
)
TEXTS = st.one_of(st.lists(_WORDS, max_size=20).map("".join), st.text(max_size=40), _CALLS)


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(TEXTS)
def test_nothing_but_named_errors_comes_out(text: str) -> None:
    for written in (text, f"@{text}", f"a@{{{text}}}"):
        with contextlib.suppress(ExpressionError):
            evaluate(written, STATE)
