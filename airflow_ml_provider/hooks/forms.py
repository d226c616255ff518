"""Connection forms for Airflow 3.1, which asks the hooks; later versions read the provider info, which both come from."""

from __future__ import annotations

from typing import Any

from airflow_ml_provider.get_provider_info import conn_fields, ui_field_behaviour

__all__ = ["form_widgets", "ui_field_behaviour"]


def form_widgets(conn_type: str) -> dict[str, Any]:
    """The form's extra fields by name, as text fields; one of a list of words where the provider info has one."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget  # type: ignore[import-not-found]
    from wtforms import StringField  # type: ignore[import-untyped]
    from wtforms.validators import any_of  # type: ignore[import-untyped]

    def field(item: dict[str, Any]) -> Any:
        choices = item["schema"].get("enum")
        return StringField(
            item["label"],
            validators=[any_of(choices)] if choices else [],
            description=item.get("description", ""),
            default=item["schema"].get("default"),
            widget=BS3TextFieldWidget(),
        )

    return {name: field(item) for name, item in conn_fields(conn_type).items()}
