"""What Airflow asks an installed provider. Imported at every start of Airflow: it imports next to nothing."""

from __future__ import annotations

from typing import Any

_TEXT: dict[str, Any] = {"type": ["string", "null"]}


def _spark_cluster() -> dict[str, Any]:
    """The connection type of clusters; its choices are the registered backends, those of other packages included."""
    from airflow_ml_provider.core.registry import BACKENDS, backend_names

    labels = [f"{name}: {entry.label}" for name, entry in sorted(BACKENDS.items())]
    staging = [f"{name}: {entry.staging}" for name, entry in sorted(BACKENDS.items())]
    return {
        "connection-type": "spark_cluster",
        "hook-class-name": "airflow_ml_provider.hooks.spark_cluster.SparkClusterHook",
        "hook-name": "Spark cluster",
        "ui-field-behaviour": {
            "hidden-fields": ["host", "schema", "login", "password", "port"],
            "relabeling": {},
            "placeholders": {},
        },
        "conn-fields": {
            "backend": {
                "label": "Backend",
                "description": f"The service that runs Spark. {'; '.join(labels)}",
                "schema": {"type": "string", "default": "local", "enum": backend_names()},
            },
            "credentials_conn_id": {
                "label": "Credentials connection",
                "description": "Id of the connection that holds the service's credentials; the local backend needs none",
                "schema": _TEXT,
            },
            "staging_uri": {
                "label": "Staging URI",
                "description": f"Where programs and state are kept. {'; '.join(staging)}",
                "schema": _TEXT,
            },
            "defaults": {
                "label": "Cluster defaults (JSON)",
                "description": 'Laid under every cluster\'s fields, such as {"workers": 2, "idle_timeout": "PT20M"}',
                "schema": {"type": ["object", "null"]},
            },
        },
    }


_MLFLOW: dict[str, Any] = {
    "connection-type": "mlflow",
    "hook-class-name": "airflow_ml_provider.hooks.mlflow.MLflowHook",
    "hook-name": "MLflow",
    "ui-field-behaviour": {
        "hidden-fields": ["schema"],
        "relabeling": {"host": "Tracking URI"},
        "placeholders": {"host": "http://mlflow.example.com:5000"},
    },
    "conn-fields": {
        "ui_url": {
            "label": "Address for people",
            "description": "Where a browser finds MLflow; by default the tracking URI",
            "schema": _TEXT,
        },
        "artifact_location": {
            "label": "Artifact location",
            "description": "Where new experiments keep their artifacts; by default the server decides, and a database has them beside it",
            "schema": _TEXT,
        },
    },
}
_MOUNT: dict[str, Any] = {
    "connection-type": "mount",
    "hook-class-name": "airflow_ml_provider.hooks.mount.MountHook",
    "hook-name": "Mount",
    "ui-field-behaviour": {
        "hidden-fields": ["host", "schema", "login", "password", "port"],
        "relabeling": {},
        "placeholders": {},
    },
    "conn-fields": {
        "source": {
            "label": "Source",
            "description": "The place: s3://bucket/path, abfss://container@account.dfs.core.windows.net/path, gs://…, hdfs://…, file:///…",
            "schema": {"type": "string"},
        },
        "credentials_conn_id": {
            "label": "Credentials connection",
            "description": "Id of the connection that opens it (types aws, wasb, adls, google_cloud_platform); a folder needs none",
            "schema": _TEXT,
        },
        "read_only": {
            "label": "Read-only",
            "description": "Refuse whatever would change it",
            "schema": {"type": ["boolean", "null"], "default": False},
        },
        "fuse": {
            "label": "As a folder too",
            "description": "Give programs that only open files a folder (needs FUSE on the cluster)",
            "schema": {"type": ["boolean", "null"], "default": False},
        },
    },
}


def _size(default: int, description: str) -> dict[str, Any]:
    return {
        "description": description,
        "version_added": "0.1.0",
        "type": "integer",
        "example": str(2 * default),
        "default": str(default),
    }


_SIZES = {
    "adf_max_answer_mib": _size(
        64, "MiB of one HTTP answer, and of one page of a REST service, that Data Factory's activities take."
    ),
    "adf_max_workbook_mib": _size(256, "MiB of an Excel workbook, packed and unpacked, that Data Factory's activities read."),
    "adf_max_file_mib": _size(
        102400, "MiB of one file that a Copy fetches over HTTP, and of all files that it unpacks from ZIP archives."
    ),
    "adf_max_zip_entries": _size(100000, "Files that one Copy unpacks from ZIP archives."),
}
_CONFIG: dict[str, Any] = {
    "airflow_ml_provider": {
        "description": "Settings of the provider airflow-ml-provider.",
        "options": {
            "callbacks": {
                "description": (
                    "Serve the route at which Data Factory's WebHook activities are called back. It asks for no login: an address holds "
                    "a ticket that Airflow's Fernet key has sealed, and can be called once. Without it WebHook activities fail."
                ),
                "version_added": "0.1.0",
                "type": "boolean",
                "example": "True",
                "default": "False",
            },
            **_SIZES,
        },
    }
}


def conn_fields(conn_type: str) -> dict[str, Any]:
    """The extra fields of a connection type's form."""
    return dict(_connection_type(conn_type).get("conn-fields", {}))


def ui_field_behaviour(conn_type: str) -> dict[str, Any]:
    """What a connection type's form does with the standard fields, with the keys that hooks use."""
    return {key.replace("-", "_"): value for key, value in _connection_type(conn_type)["ui-field-behaviour"].items()}


def _connection_type(conn_type: str) -> dict[str, Any]:
    return next(item for item in (_spark_cluster(), _MLFLOW, _MOUNT) if item["connection-type"] == conn_type)


def get_provider_info() -> dict[str, Any]:
    """The provider's entry in Airflow's registry, in the shape of ``provider_info.schema.json``."""
    package = "airflow_ml_provider"
    return {
        "package-name": "airflow-ml-provider",
        "name": "Machine learning on Spark",
        "description": "Ephemeral Spark clusters, jobs, MLflow models and ready-made DAGs.",
        "integrations": [
            {"integration-name": "Spark cluster", "external-doc-url": "https://spark.apache.org/", "tags": ["apache"]},
            {"integration-name": "MLflow", "external-doc-url": "https://mlflow.org/", "tags": ["software"]},
            {"integration-name": "Mount", "external-doc-url": "https://filesystem-spec.readthedocs.io/", "tags": ["protocol"]},
        ],
        "hooks": [
            {"integration-name": "Spark cluster", "python-modules": [f"{package}.hooks.spark_cluster"]},
            {"integration-name": "MLflow", "python-modules": [f"{package}.hooks.mlflow"]},
            {"integration-name": "Mount", "python-modules": [f"{package}.hooks.mount"]},
        ],
        "config": _CONFIG,
        "connection-types": [_spark_cluster(), _MLFLOW, _MOUNT],
        "filesystems": [f"{package}.filesystems.mount"],
        "asset-uris": [
            {
                "schemes": ["mount"],
                "handler": f"{package}.assets.mount.sanitize_uri",
                "factory": f"{package}.assets.mount.create_asset",
                "to_openlineage_converter": f"{package}.assets.mount.convert_asset_to_openlineage",
            }
        ],
        "operators": [
            {
                "integration-name": "Spark cluster",
                "python-modules": [f"{package}.operators.{name}" for name in ("janitor", "spark_cluster", "spark_job")],
            },
            {"integration-name": "MLflow", "python-modules": [f"{package}.operators.mlflow"]},
            {"integration-name": "Mount", "python-modules": [f"{package}.operators.mount", f"{package}.operators.copy"]},
        ],
        "sensors": [
            {"integration-name": "Spark cluster", "python-modules": [f"{package}.sensors.spark"]},
            {"integration-name": "Mount", "python-modules": [f"{package}.sensors.mount"]},
        ],
        "triggers": [
            {"integration-name": "Spark cluster", "python-modules": [f"{package}.triggers.spark"]},
            {
                "integration-name": "Mount",
                "python-modules": [
                    f"{package}.adf.airflow.blob_watcher",
                    f"{package}.adf.airflow.wait_trigger",
                    f"{package}.triggers.mount",
                ],
            },
        ],
        "extra-links": [
            f"{package}.links.spark.SparkUILink",
            f"{package}.links.mlflow.MLflowRunLink",
            f"{package}.links.notebook.NotebookLink",
        ],
        "bundles": [{"integration-name": "Spark cluster", "python-modules": [f"{package}.bundles.ready_made"]}],
        "task-decorators": [{"name": "spark_job", "class-name": f"{package}.decorators.spark_job.spark_job"}],
    }
