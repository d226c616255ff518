"""Machines by what a node asks for. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.spec import Node, memory_mib

_GRAVITON = re.compile(r"[a-z]+\d+g[a-z]*\.")
_LEFT_TO_SPARK = 0.75
"""The part of a machine's memory that YARN gives out, and of that what Spark's overhead leaves."""


class Machine(NamedTuple):
    """An instance type: its name, cores, memory in GiB and accelerators."""

    name: str
    cores: int
    memory: int
    gpus: int = 0


def _family(name: str, per_core: int, cores: tuple[int, ...]) -> list[Machine]:
    return [Machine(f"{name}.{_SIZES[number]}", number, number * per_core) for number in cores]


_SIZES = {
    4: "xlarge",
    8: "2xlarge",
    16: "4xlarge",
    32: "8xlarge",
    48: "12xlarge",
    64: "16xlarge",
    96: "24xlarge",
    128: "32xlarge",
}
_MACHINES = [
    *_family("m6i", 4, tuple(_SIZES)),
    *_family("r6i", 8, tuple(_SIZES)),
    *(Machine(f"g5.{_SIZES[number]}", number, number * 4, 1) for number in (4, 8, 16, 32, 64)),
    *(Machine("g5.12xlarge", 48, 192, 4), Machine("g5.24xlarge", 96, 384, 4), Machine("g5.48xlarge", 192, 768, 8)),
]


def instance_types(node: Node, role: str) -> list[str]:
    """The instance types that a node names, or the smallest that has room for what it asks.

    :param role: of the node, for messages.
    """
    if node.instance_type:
        return [name.strip() for name in node.instance_type.split(",") if name.strip()]
    memory = memory_mib(node.memory) / 1024 / _LEFT_TO_SPARK if node.memory else 0
    fitting = [
        machine
        for machine in _MACHINES
        if machine.cores >= (node.cores or 1)
        and machine.memory >= memory
        and (machine.gpus >= node.gpus if node.gpus else not machine.gpus)
    ]
    if not fitting:
        raise SpecError(f"ClusterSpec.{role}: got {_asked(node)}: no instance type is known that has so much: name one")
    return [min(fitting, key=lambda machine: (machine.gpus, machine.cores, machine.memory)).name]


def architecture(types: Iterable[str]) -> str:
    """Of machines, as Python's packages call it: Amazon's own processors have a ``g`` after their generation."""
    return "aarch64" if any(_GRAVITON.match(name) for name in types) else "x86_64"


def _asked(node: Node) -> str:
    return ", ".join(f"{name}={value}" for name in ("cores", "memory", "gpus") if (value := getattr(node, name)))
