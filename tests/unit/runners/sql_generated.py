"""Hypothesis strategies: scripts of Spark 4.2's grammar (``compoundStatement`` in ``SqlBaseParser.g4``), and texts made of them."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.unit.runners.sql_texts import SCRIPTS, TEXTS

CONDITIONS = st.sampled_from(
    [
        "true",
        "(1 = 1)",
        "CASE WHEN true THEN true ELSE false END",
        "(SELECT count(*) FROM VALUES (1) AS t(end)) > 0",
        "if(true, true, CASE 1 WHEN 1 THEN false END)",
        "'THEN; DO' = \"END;\"",
        "EXISTS (SELECT 1 AS `then;`)",
    ]
)
SIMPLE = st.sampled_from(
    [
        "SELECT 1",
        "select start, end from values (1, 2) as t(start, end)",
        "SELECT CASE WHEN true THEN 'END;' ELSE \"BEGIN\" END AS c",
        "SELECT if(true, 1, 2), repeat('a;', 2)",
        "VALUES (1), (2)",
        "INSERT INTO t SELECT 1",
        "SELECT :end",
        "l1: BEGIN SELECT 1; END l1",
        "BEGIN END",
        "EXECUTE IMMEDIATE 'SELECT 1; '",
        "SELECT r'\\', 'it''s \\'; END', `a;``b` FROM t",
    ]
)
GAPS = st.sampled_from([" ", "\n", " -- END;\n", " /* BEGIN; /* END; */ */ ", "\t\r\n"])
ENDS = st.sampled_from([";", ";\n", " ;;\n", "; -- a; b\n", ";/* BEGIN; /* ; */ */", "\n;\n;"])
HANDLERS = st.sampled_from(
    [
        "",
        "DECLARE x INT DEFAULT CASE WHEN true THEN 1 END; ",
        "DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN SELECT 1; END; ",
        "DECLARE EXIT HANDLER FOR SQLSTATE '22012', DIVIDE_BY_ZERO BEGIN IF true THEN SELECT 1; END IF; END; ",
        "DECLARE EXIT HANDLER FOR NOT FOUND SET x = 1; ",
    ]
)


@st.composite
def _blocks(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    def body() -> str:
        return "".join(f"{draw(GAPS)}{one}{draw(GAPS)};" for one in draw(st.lists(inner, min_size=1, max_size=3))) + draw(GAPS)

    condition = draw(CONDITIONS)
    makers = [
        lambda: f"BEGIN{body()}END",
        lambda: f"IF {condition} THEN{body()}END IF",
        lambda: f"if {condition} then{body()}elseif {draw(CONDITIONS)} then{body()}else{body()}end if",
        lambda: f"WHILE {condition} DO{body()}END WHILE",
        lambda: f"LOOP{body()}END LOOP",
        lambda: f"REPEAT{body()}UNTIL {condition} END REPEAT",
        lambda: f"FOR SELECT {condition} AS x DO{body()}END FOR",
        lambda: f"CASE WHEN {condition} THEN{body()}WHEN {draw(CONDITIONS)} THEN{body()}ELSE{body()}END CASE",
        lambda: f"CASE {condition} WHEN true THEN{body()}END CASE",
    ]
    return draw(st.sampled_from(makers))()


@st.composite
def _scripts(draw: st.DrawFn) -> str:
    inner = st.recursive(SIMPLE, _blocks, max_leaves=6)
    body = "".join(f"{draw(GAPS)}{one};" for one in draw(st.lists(inner, min_size=1, max_size=3)))
    return f"{draw(st.sampled_from(['BEGIN', 'begin', 'BEGIN NOT ATOMIC']))} {draw(HANDLERS)}{body}{draw(GAPS)}END"


STATEMENTS = st.one_of(_scripts(), st.sampled_from([*SCRIPTS, *(one for _, found in TEXTS for one in found)]))


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text, and the statements that it is made of."""
    statements = draw(st.lists(STATEMENTS, min_size=1, max_size=5))
    first = draw(st.sampled_from(["", "\ufeff", "-- a;\n", ";", " /* ; */\n"]))
    return first + "".join(f"{one}{draw(GAPS)}{draw(ENDS)}{draw(GAPS)}" for one in statements), statements
