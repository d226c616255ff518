"""Filter."""

from __future__ import annotations

from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import Call, items_of, truth
from airflow_ml_provider.adf.fields import pick


def keep(call: Call) -> Any:
    """Filter: the items for which the condition holds."""
    items = items_of(call)
    condition = pick(call.activity.type_properties, "condition")
    found = []
    before = call.view.item
    try:
        for call.view.item in items:
            if truth(call, "condition", call.view.resolve(condition)):
                found.append(call.view.item)
    finally:
        call.view.item = before
    return {"ItemsCount": len(items), "FilteredItemsCount": len(found), "Value": found}
