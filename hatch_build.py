"""Puts the ready-made DAGs into the wheel; an editable install reads them where they are."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ContentHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds ``dags/`` and ``include/`` to what the bundle serves."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds."""
        if version == "standard":
            content = "airflow_ml_provider/bundles/content"
            build_data["force_include"] |= {folder: f"{content}/{folder}" for folder in ("dags", "include")}
