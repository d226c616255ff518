"""Links whose address a task pushes as an XCom before it waits, so that they work while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.bases.operatorlink import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class XComLink(BaseOperatorLink):
    """A button that opens the address in the XCom named ``xcom_key``.

    Airflow's task runner asks for the address when the task stops, and overwrites the XCom with the answer. The operator keeps it
    in ``link_urls``, because asking for an XCom that is not there is an error in the log.
    """

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address; empty when there is none."""
        return str(getattr(operator, "link_urls", {}).get(self.xcom_key, ""))
