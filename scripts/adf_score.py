"""How much of a folder of Data Factory exports is understood: ``python -m scripts.adf_score FOLDER``.

The folder holds exports, and may hold ``expressions.jsonl``: a line for each expression with its ``state``, and ``ok`` (the
value) or ``err`` that Microsoft's evaluator gave. Ends with 1 when a score is below what was reached before.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from airflow_ml_provider.adf.errors import ExpressionError
from airflow_ml_provider.adf.export.loader import load
from airflow_ml_provider.adf.expressions.evaluator import evaluate
from airflow_ml_provider.adf.report import as_json
from scripts.adf_replay import through_operators

EXPRESSIONS = 0.999
PIPELINES = 0.67
ACTIVITIES = 0.90
"""The least shares: of expressions with their value, of pipelines imported whole, of activities that run."""


def misses(lines: Iterator[str], value: Callable[[str, Any], Any] = evaluate) -> Iterator[str | None]:
    """For each line None when it has its value, else what is wrong."""
    for line in lines:
        known = json.loads(line)
        try:
            ours: Mapping[str, Any] = {"ok": value(known["expr"], known["state"])}
        except ExpressionError as error:
            ours = {"err": str(error)}
        right = "err" in ours if "err" in known else "ok" in ours and json.dumps(ours["ok"]) == json.dumps(known["ok"])
        yield None if right else f"{known['expr']!r}\n    expected {known.get('ok', known.get('err'))!r}\n    got {ours}"


def score_expressions(file: Path) -> float:
    least = 1.0
    ways: dict[str, Callable[[str, Any], Any]] = {
        "by the evaluator": evaluate,
        "by the operators": partial(through_operators, marked=False),
        "by the operators, of type Expression": partial(through_operators, marked=True),
    }
    for way, value in ways.items():
        found = list(misses(iter(file.read_text(encoding="utf-8").splitlines()), value))
        wrong = [one for one in found if one]
        for one in wrong:
            print(f"  {one}")
        print(f"expressions {way}: {len(found) - len(wrong)} of {len(found)} have their value")
        least = min(least, 1 - len(wrong) / max(len(found), 1))
    return least


def score_imports(folder: Path) -> tuple[float, float]:
    report = as_json(load(folder))
    summary, pipelines = report["summary"], report["pipelines"]
    print(", ".join(f"{name} {summary[name]}" for name in ("imported", "partly", "refused", "files_refused")))
    print(f"whole and no known difference {summary['same']} of {len(pipelines)}")
    differing = Counter(name for pipeline in pipelines for name in pipeline["differences"])
    for name, count in differing.most_common():
        print(f"  {count:>5} differ: {name}")
    for kind, count in summary["activities"].items():
        print(f"  {kind:<28} {count['imported']:>5} of {count['total']}")
    reasons = Counter(one["reason"].partition(":")[0] for pipeline in pipelines for one in pipeline["reasons"])
    for reason, count in reasons.most_common(20):
        print(f"  {count:>5} times: {reason[:150]}")
    total = sum(count["total"] for count in summary["activities"].values())
    run = sum(count["imported"] for count in summary["activities"].values())
    return summary["imported"] / max(len(pipelines), 1), run / max(total, 1)


def main() -> int:
    folder = Path(sys.argv[1])
    expressions = folder / "expressions.jsonl"
    right = score_expressions(expressions) if expressions.exists() else 1.0
    whole, run = score_imports(folder)
    print(f"pipelines imported whole {whole:.1%} (least {PIPELINES:.0%}), activities that run {run:.1%} (least {ACTIVITIES:.0%})")
    return int(right < EXPRESSIONS or whole < PIPELINES or run < ACTIVITIES)


if __name__ == "__main__":
    sys.exit(main())
