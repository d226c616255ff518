"""Airflow and MLflow for the browser: ``make up``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from scripts.homes import ROOT
from scripts.processes import end_on_signals
from scripts.stack import Stack, StackError

PORTS = {"airflow": 8080, "mlflow": 5000}
PAGE = """
Airflow   {stack.url}    user {stack.user}, password {stack.password}
          {stack.url}/dags/flight_delays
MLflow    {stack.mlflow_url}
Folder    {stack.home}

The connections spark_cluster_default and mlflow_default are there. Ctrl-C ends everything."""


def main() -> int:
    """Run until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=ROOT / ".up", help="the folder it all stands in")
    home = parser.parse_args().home
    end_on_signals()
    print("Starting Airflow and MLflow ...", flush=True)
    try:
        with Stack(home, ports=PORTS) as stack:
            print(PAGE.format(stack=stack), flush=True)
            while True:
                stack.check()
                time.sleep(1)
    except KeyboardInterrupt:
        print("Everything has ended.")
        return 0
    except StackError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
