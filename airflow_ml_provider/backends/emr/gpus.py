"""What EMR must be told so that YARN and Spark give out accelerators. Data.

Source: "Using the Nvidia Spark-RAPIDS Accelerator for Spark" of the Amazon EMR Release Guide, the examples for EMR 7.x, without the
plugin itself, which ``native`` can add.
"""

from __future__ import annotations

from typing import Any

_YARN = "yarn.nodemanager"
_CGROUPS = f"{_YARN}.linux-container-executor.cgroups"
GPU_CONFIGURATIONS: tuple[dict[str, Any], ...] = (
    {
        "Classification": "yarn-site",
        "Properties": {
            f"{_YARN}.resource-plugins": "yarn.io/gpu",
            "yarn.resource-types": "yarn.io/gpu",
            f"{_YARN}.resource-plugins.gpu.allowed-gpu-devices": "auto",
            f"{_YARN}.resource-plugins.gpu.path-to-discovery-executables": "/usr/bin",
            f"{_CGROUPS}.mount": "true",
            f"{_CGROUPS}.mount-path": "/spark-rapids-cgroup",
            f"{_CGROUPS}.hierarchy": "yarn",
            f"{_YARN}.container-executor.class": "org.apache.hadoop.yarn.server.nodemanager.LinuxContainerExecutor",
        },
    },
    {
        "Classification": "container-executor",
        "Properties": {},
        "Configurations": [
            {"Classification": "gpu", "Properties": {"module.enabled": "true"}},
            {"Classification": "cgroups", "Properties": {"root": "/spark-rapids-cgroup", "yarn-hierarchy": "yarn"}},
        ],
    },
    {
        "Classification": "capacity-scheduler",
        "Properties": {
            "yarn.scheduler.capacity.resource-calculator": "org.apache.hadoop.yarn.util.resource.DominantResourceCalculator"
        },
    },
)


def gpu_properties(gpus: int) -> dict[str, str]:
    """Spark's side: every executor takes all accelerators of a machine, and a task one share of each core.

    :param gpus: on one machine.
    """
    return {
        "spark.executor.resource.gpu.amount": str(gpus),
        "spark.executor.resource.gpu.discoveryScript": "/usr/lib/spark/scripts/gpu/getGpusResources.sh",
        "spark.task.resource.gpu.amount": "1",
    }
