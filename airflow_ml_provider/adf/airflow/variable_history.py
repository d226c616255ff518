"""The changes that tasks have made to the pipeline's variables, as XComs in chunks: what is full is pushed once, and never again.

The XCom ``adf_events`` of a task holds its newest changes and says how many full chunks came before them, each under a key of its own. So a
task that appends a thousand times pushes each change some times, and not each of them with all that came before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

EVENTS = "adf_events"
CHUNK = 50
"""Changes in a full chunk."""
Event = dict[str, Any]


class History:
    """The changes of one task, and those of the others as it sees them.

    :param ti: the task's instance.
    :param map_index: its place among the items of a loop; -1 outside.
    """

    def __init__(self, ti: Any, map_index: int) -> None:
        self.ti, self.map_index = ti, map_index
        self.own: list[Event] = []
        self._generation = 0
        self._full: dict[tuple[str, int, str], list[Event]] = {}

    def add(self, event: Event) -> None:
        """One more change."""
        self.own.append(event)
        if len(self.own) % CHUNK == 0:
            self._push_full(len(self.own) // CHUNK - 1)
        self._push_newest()

    def forget(self, name: str) -> None:
        """Drop the changes to a variable that is about to be set: so the history does not grow with each round of a loop."""
        kept = [event for event in self.own if event["name"] != name]
        if len(kept) < len(self.own):
            self.own, self._generation = kept, self._generation + 1
            for number in range(len(kept) // CHUNK):
                self._push_full(number)

    def restore(self) -> None:
        """Know again what this task has pushed before it was deferred."""
        told = self.ti.xcom_pull(task_ids=self.ti.task_id, key=EVENTS, map_indexes=self.map_index)
        if told:
            self.own, self._generation = list(self._all_of(told)), told["generation"]

    def of_others(self, task_ids: Sequence[str]) -> list[Event]:
        """The changes of these tasks, but this one's."""
        others = [task_id for task_id in task_ids if task_id != self.ti.task_id or self.map_index >= 0]
        pulled = self.ti.xcom_pull(task_ids=others, key=EVENTS) if others else ()
        mine = [self.ti.task_id, self.map_index]
        return [event for told in pulled if told and told["of"] != mine for event in self._all_of(told)]

    def _all_of(self, told: Mapping[str, Any]) -> list[Event]:
        task_id, map_index = told["of"]
        keys = [_key(told["generation"], number) for number in range(told["full"])]
        return [*(event for key in keys for event in self._chunk(task_id, map_index, key)), *told["events"]]

    def _chunk(self, task_id: str, map_index: int, key: str) -> list[Event]:
        place = (task_id, map_index, key)
        if place not in self._full:
            self._full[place] = self.ti.xcom_pull(task_ids=task_id, key=key, map_indexes=map_index) or []
        return self._full[place]

    def _push_full(self, number: int) -> None:
        self.ti.xcom_push(key=_key(self._generation, number), value=self.own[number * CHUNK : (number + 1) * CHUNK])

    def _push_newest(self) -> None:
        full = len(self.own) // CHUNK
        about = {"of": [self.ti.task_id, self.map_index], "generation": self._generation, "full": full}
        self.ti.xcom_push(key=EVENTS, value={**about, "events": self.own[full * CHUNK :]})


def _key(generation: int, number: int) -> str:
    return f"{EVENTS}_{generation}_{number}"
