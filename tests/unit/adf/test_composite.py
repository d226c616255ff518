"""Composite formatting: texts as .NET's documentation has them, in its invariant culture."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ml_provider.adf.expressions.dotnet.composite import composite, number_as

FORMS: dict[tuple[float, str], str] = {
    (1234, "D"): "1234",
    (-1234, "D6"): "-001234",
    (255, "X"): "FF",
    (-1, "x"): "ffffffffffffffff",
    (255, "x4"): "00ff",
    (1234.567, "F"): "1234.57",
    (-1234.56, "F4"): "-1234.5600",
    (1234.567, "N"): "1,234.57",
    (1234, "N1"): "1,234.0",
    (-1234.56, "N3"): "-1,234.560",
    (123.456, "C"): "¤123.46",
    (-123.456, "C3"): "(¤123.456)",
    (1052.0329112756, "E"): "1.052033E+003",
    (-1052.0329112756, "e2"): "-1.05e+003",
    (1, "P"): "100.00 %",
    (-0.39678, "P1"): "-39.7 %",
    (-123.456, "G"): "-123.456",
    (123.4546, "G4"): "123.5",
    (12345, "G2"): "1.2E+04",
    (-1.234567890e-25, "G5"): "-1.2346E-25",
    (1234.5678, "00000"): "01235",
    (0.45678, "0.00"): "0.46",
    (1234.5678, "#####"): "1235",
    (0.45678, "#.##"): ".46",
    (2147483647, "##,#"): "2,147,483,647",
    (2147483647, "#,#,,"): "2,147",
    (0.3697, "%#0.00"): "%36.97",
    (0.3697, "##.0 %"): "37.0 %",
    (987654, r"\###00\#"): "#987654#",
    (68, "# 'degrees'"): "68 degrees",
    (12.345, "#0.0#;(#0.0#);-\\0-"): "12.35",
    (0, "#0.0#;(#0.0#);-\\0-"): "-0-",
    (-12.345, "#0.0#;(#0.0#);-\\0-"): "(12.35)",
    (-5, "000"): "-005",
}


@pytest.mark.parametrize(("value", "form"), FORMS)
def test_forms_of_numbers(value: float, form: str) -> None:
    assert number_as(value, form) == FORMS[value, form]


HOLES: dict[str, str] = {
    "{0}-{1}": "7-ab",
    "{0,4}|{0,-4}|{1,4}": "   7|7   |  ab",
    "{0:D3}{1:D3}": "007ab",
    "{0, 6:N1}": "   7.0",
    "{{{0}}}": "{7}",
}


@pytest.mark.parametrize("text", HOLES)
def test_holes(text: str) -> None:
    assert composite(text, [7, "ab"], str) == HOLES[text]


@pytest.mark.parametrize("text", ["{2}", "{", "{a}", "{0:Q}", "{0:0'a'0}", "{0:0e0}", "{0,2000}", "{0:D2", "}"])
def test_what_is_no_format(text: str) -> None:
    with pytest.raises(ValueError, match="got "):
        composite(text, [7, "ab"], str)


@settings(max_examples=400, derandomize=True, database=None, deadline=None)
@given(
    st.text(alphabet="{}0123,.:;#%'\\\"ABCDEFGNPXeE ", max_size=14),
    st.one_of(
        st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=3), st.booleans()
    ),
)
def test_no_format_is_too_odd(text: str, value: Any) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(composite(text, [value], str), str)
