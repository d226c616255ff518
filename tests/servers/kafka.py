"""A Kafka broker of one process (KRaft), from Maven Central."""

from __future__ import annotations

import os
import subprocess
import tempfile
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_ml_provider.backends.local.java import find_jdk
from airflow_ml_provider.backends.local.libraries import jars_of
from airflow_ml_provider.backends.local.supervisor import spark_home
from tests.servers.process import CACHE, LOOPBACK, free_ports, running

VERSION = "4.1.0"
_LOGGING = "rootLogger.level=error\nrootLogger.appenderRef.o.ref=o\nappender.o.type=Console\nappender.o.name=o\n"
_SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{broker},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{broker}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}/log
num.partitions=2
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""


@contextmanager
def kafka() -> Iterator[str]:
    """Run a broker, and give its address."""
    java, home = find_jdk().java, spark_home()
    asked = {"kind": "maven", "coordinates": f"org.apache.kafka:kafka_2.13:{VERSION}", "exclusions": [], "repository": None}
    # What Kafka shares with Spark (Scala, logging) comes from Spark.
    jars = [*jars_of(CACHE, java, home, [asked]), f"{home}/jars/*"]
    broker, controller = free_ports(2)
    with tempfile.TemporaryDirectory(prefix="kafka-") as name:
        folder = Path(name)
        settings, logging = folder / "server.properties", folder / "log4j2.properties"
        settings.write_text(_SETTINGS.format(host=LOOPBACK, broker=broker, controller=controller, folder=folder))
        logging.write_text(_LOGGING)
        command = [str(java), "-Xmx256m", f"-Dlog4j2.configurationFile={logging}", "-cp", ":".join(jars)]
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        storage = [*command, "kafka.tools.StorageTool", "format", "--cluster-id", cluster, "--config", str(settings)]
        subprocess.run(storage, check=True, capture_output=True, timeout=120, env=dict(os.environ))
        with running([*command, "kafka.Kafka", str(settings)], broker):
            yield f"{LOOPBACK}:{broker}"
