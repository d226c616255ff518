#!/bin/bash
# Starts what docker-compose.yaml names.
set -euo pipefail

if [[ -n "${AIRFLOW_SECRET:-}" ]]; then
    AIRFLOW__CORE__FERNET_KEY=$(python -c 'import base64, hashlib, os
print(base64.urlsafe_b64encode(hashlib.sha256(os.environ["AIRFLOW_SECRET"].encode()).digest()).decode())')
    export AIRFLOW__CORE__FERNET_KEY
fi

case "$1" in
api-server)
    export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS=admin:admin
    export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE="$AIRFLOW_HOME/passwords.json"
    umask 077
    python -c 'import json, os
print(json.dumps({"admin": os.environ["AIRFLOW_PASSWORD"]}))' >"$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
    exec airflow api-server --host 0.0.0.0 --port 8080
    ;;
scheduler-and-triggerer)
    # One container for both: a triggerer sees only the Spark clusters whose processes it can see.
    trap 'kill $(jobs -p)' TERM INT
    airflow triggerer --skip-serve-logs &
    airflow scheduler --skip-serve-logs &
    wait -n
    ;;
*)
    exec "$@"
    ;;
esac
