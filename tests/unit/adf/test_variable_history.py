"""The XComs behind variables: what tasks push, and what others read of it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from airflow_ml_provider.adf.airflow.variable_history import CHUNK, EVENTS, History

Xcoms = dict[tuple[str, int, str], Any]


class Ti:
    """As far as histories ask a task instance: XComs by task, place in a loop and key, as JSON."""

    def __init__(self, xcoms: Xcoms, task_id: str = "a", map_index: int = -1) -> None:
        self.xcoms, self.task_id, self.map_index, self.pushed = xcoms, task_id, map_index, 0

    def xcom_push(self, key: str, value: Any) -> None:
        text = json.dumps(value)
        self.pushed += len(text)
        self.xcoms[self.task_id, self.map_index, key] = text

    def xcom_pull(self, task_ids: Any, key: str, map_indexes: int | None = None) -> Any:
        if isinstance(task_ids, str):
            found = self.xcoms.get((task_ids, -1 if map_indexes is None else map_indexes, key))
            return None if found is None else json.loads(found)
        return [json.loads(text) for (task, _, name), text in self.xcoms.items() if task in task_ids and name == key]


def change(number: int, name: str = "all") -> dict[str, Any]:
    return {"at": number, "by": "a[-1]", "name": name, "append": number}


def test_a_thousand_changes_push_as_many_bytes_as_ten_times_a_hundred() -> None:
    """The whole history with each change would be 500 times its size."""
    sizes = []
    for count in (100, 1000):
        ti = Ti({})
        history = History(ti, -1)
        for number in range(count):
            history.add(change(number))
        sizes.append(ti.pushed)
    assert sizes[1] < 12 * sizes[0]


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_others_and_the_task_itself_after_a_pause_read_all(count: int) -> None:
    xcoms: Xcoms = {}
    history = History(Ti(xcoms), -1)
    for number in range(count):
        history.add(change(number))
    again, other = History(Ti(xcoms), -1), History(Ti(xcoms, "b"), -1)
    again.restore()
    assert again.own == history.own == other.of_others(["a", "b"])
    again.add(change(count))
    assert other.of_others(["a"]) == again.own
    assert again.of_others(["a"]) == []


def test_whatever_is_set_and_appended_is_read_as_it_is() -> None:
    random.seed(7)
    xcoms: Xcoms = {}
    history, reader = History(Ti(xcoms), -1), History(Ti(xcoms, "b"), -1)
    for number in range(600):
        name = random.choice("xy")
        if random.random() < 0.02:
            history.forget(name)
            history.add({"at": number, "by": "a[-1]", "name": name, "value": []})
        else:
            history.add(change(number, name))
        if random.random() < 0.2:
            assert reader.of_others(["a"]) == history.own


def test_items_of_a_loop_read_each_other() -> None:
    xcoms: Xcoms = {}
    histories = [History(Ti(xcoms, "a", index), index) for index in range(3)]
    for index, history in enumerate(histories):
        history.add(change(index))
    assert [event["at"] for event in histories[1].of_others(["a"])] == [0, 2]
    assert ("a", 1, EVENTS) in xcoms
