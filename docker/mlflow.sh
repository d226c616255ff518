#!/bin/bash
# The address of the database holds a password: it goes by the environment, never by an argument.
set -euo pipefail
MLFLOW_BACKEND_STORE_URI=$(cat /secrets/mlflow_backend)
export MLFLOW_BACKEND_STORE_URI
exec mlflow server --host=0.0.0.0 --port=5000 --workers=1 \
    --allowed-hosts=mlflow:5000,localhost:5000,127.0.0.1:5000 --artifacts-destination=s3://mlflow/artifacts
