"""What every test finds: no proxy on the way to loopback, and no Airflow or MLflow settings of whoever runs them."""

from __future__ import annotations

import os

for _name in [name for name in os.environ if name.startswith(("AIRFLOW_CONN_", "AIRFLOW_VAR_", "MLFLOW_"))]:
    del os.environ[_name]
os.environ["NO_PROXY"] = ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1,localhost")))
os.environ["no_proxy"] = os.environ["NO_PROXY"]
