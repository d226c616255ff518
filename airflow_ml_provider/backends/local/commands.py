"""Command lines, Spark properties and environments of the processes of a cluster. Pure, and no secret is in a command line."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from airflow_ml_provider.backends.local.translate import FILE, OWN_CLASSES
from airflow_ml_provider.core.backend import Plan
from airflow_ml_provider.core.mounts import FILE_KEY, HADOOP_KEY, OF_CLASSES
from airflow_ml_provider.core.spec import memory_mib

LOOPBACK = "127.0.0.1"
TOKEN_VARIABLE = "SPARK_CONNECT_AUTHENTICATE_TOKEN"
"""Where both ends of Spark Connect look for the token."""
PRIVATE = "private"
"""The folder of a cluster's secret files, under its scratch."""
_DAEMON_MEMORY = "512m"
_OPENED = (
    *("java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.util"),
    *("java.util.concurrent", "java.util.concurrent.atomic", "jdk.internal.ref", "sun.nio.ch", "sun.nio.cs"),
    *("sun.security.action", "sun.util.calendar"),
)
# What Spark's own launcher passes (org.apache.spark.launcher.JavaModuleOptions). Starting it would cost a JVM more.
_JVM_FLAGS = (
    "-XX:+IgnoreUnrecognizedVMOptions",
    "--add-modules=jdk.incubator.vector",
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED),
    "--add-opens=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Dio.netty.allocator.type=pooled",
    "-Dio.netty.handler.ssl.defaultEndpointVerificationAlgorithm=NONE",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
    "-XX:+ExitOnOutOfMemoryError",
)
_NOT_INHERITED = ("AIRFLOW", "_AIRFLOW", "SPARK_", "PYSPARK_", "_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS")
_CLASS_PATHS = ("spark.driver.extraClassPath", "spark.executor.extraClassPath")
_ADDED_TO = {**dict.fromkeys(_CLASS_PATHS, ":"), "spark.redaction.regex": "|"}
_REDACTION = "(?i)secret|password|token|access[.]?key"
LOGGING = """\
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
logger.connect.name = org.apache.spark.sql.connect.service.SparkConnectServer
logger.connect.level = info
logger.ui.name = org.apache.spark.util.Utils
logger.ui.level = info
logger.master.name = org.apache.spark.deploy.master.Master
logger.master.level = info
logger.worker.name = org.apache.spark.deploy.worker.Worker
logger.worker.level = info
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """What the processes are started from.

    :param java: the executable.
    :param spark_home: PySpark's folder, with ``jars/``.
    :param archive: class-data archive to read, or None.
    :param record: where the Spark Connect server writes one when it ends, or None.
    """

    java: Path
    spark_home: Path
    archive: Path | None = None
    record: Path | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """What the processes of one cluster share.

    :param scratch: a folder that goes with the cluster.
    :param token: opens the Spark Connect server.
    :param rpc_secret: opens Spark's own ports.
    :param classes: what follows Spark's jars on the class path of drivers and executors.
    """

    scratch: Path
    token: str
    rpc_secret: str
    classes: tuple[Path, ...] = ()

    @property
    def private(self) -> Path:
        """Hadoop's secret settings, which are on the class path, and the files that settings lead to."""
        return self.scratch / PRIVATE

    @property
    def logging(self) -> Path:
        return self.scratch / "log4j2.properties"


def inherited_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a cluster takes over from the process that made it: nothing of Airflow's, whose variables hold secrets."""
    return {key: value for key, value in environ.items() if not key.startswith(_NOT_INHERITED)}


def cluster_environment(plan: Plan, base: Mapping[str, str], made_of: Installation, site: Site, python: str) -> dict[str, str]:
    """The environment of every process of the cluster."""
    return {
        **base,
        **plan["env"],
        "JAVA_HOME": str(made_of.java.parent.parent),
        "SPARK_HOME": str(made_of.spark_home),
        "SPARK_LOCAL_IP": LOOPBACK,
        "SPARK_SCALA_VERSION": scala_version(made_of.spark_home),
        "PYSPARK_PYTHON": python,
        "PYSPARK_DRIVER_PYTHON": python,
        "TMPDIR": str(site.scratch / "tmp"),
    }


def scala_version(spark_home: Path) -> str:
    """What Spark's shell scripts tell its launcher, which a worker asks before it starts an executor."""
    core = next(iter(sorted((spark_home / "jars").glob("spark-core_*.jar"))), None)
    return core.name.partition("_")[2].partition("-")[0] if core else "2.13"


def connect_environment(base: Mapping[str, str], site: Site, port: int, session: str) -> dict[str, str]:
    """What leads a PySpark program to the Spark Connect server, and to a session of its own."""
    return {
        **base,
        # A token in clear is sent to the host name "localhost" only.
        "SPARK_REMOTE": f"sc://localhost:{port}/;session_id={session};user_id=airflow",
        TOKEN_VARIABLE: site.token,
    }


def driver_memory(plan: Plan, machine_mib: int) -> str:
    """The driver's heap: what the plan says, or a quarter of the machine between 1 and 8 GiB; beside workers 1 GiB."""
    if plan["driver_memory"]:
        return str(plan["driver_memory"])
    return "1g" if plan["workers"] else f"{min(max(machine_mib // 4, 1024), 8192)}m"


def common_properties(plan: Plan, site: Site, secrets: Mapping[str, str]) -> dict[str, str]:
    """Spark properties of every application on the cluster. Hadoop's secret settings are not among them: :func:`site_xml`."""
    cores = _cores(plan)
    hadoop = hadoop_secrets(secrets)
    given = {key: _setting(value, site) for key, value in plan["spark_conf"].items()}
    return {
        "spark.sql.shuffle.partitions": str(max(8, 4 * cores)),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.warehouse.dir": str(site.scratch / "warehouse"),
        "spark.ui.port": "0",
        "spark.ui.killEnabled": "false",
        "spark.ui.showConsoleProgress": "false",
        **(OF_CLASSES if OWN_CLASSES in plan["connectors"] else {}),
        **given,
        **_class_paths(given, site),
        "spark.redaction.regex": _redaction(given, [*secrets, *hadoop]),
        **{key: value for key, value in secrets.items() if not key.startswith((HADOOP_KEY, FILE_KEY))},
        "spark.driver.host": LOOPBACK,
        "spark.driver.bindAddress": LOOPBACK,
        "spark.local.dir": str(site.scratch / "local"),
        "spark.authenticate": "true",
        "spark.authenticate.secret": site.rpc_secret,
        "spark.master.rest.enabled": "false",
        "spark.executor.memory": plan["worker_memory"],
        "spark.executor.cores": str(plan["worker_cores"]),
        **({"spark.cores.max": str(plan["workers"] * plan["worker_cores"])} if plan["workers"] else {}),
    }


def _setting(value: str | Mapping[str, str], site: Site) -> str:
    """A property's value; a mapping is a reference to one of the cluster's secret files."""
    return value if isinstance(value, str) else str(site.private / value[FILE])


def hadoop_secrets(secrets: Mapping[str, str]) -> dict[str, str]:
    """Those of a cluster's secrets that are Hadoop's, by Hadoop's names."""
    return {key.removeprefix(HADOOP_KEY): value for key, value in secrets.items() if key.startswith(HADOOP_KEY)}


def site_xml(settings: Mapping[str, str]) -> str:
    """Hadoop's ``core-site.xml``."""
    items = (f"<property><name>{escape(key)}</name><value>{escape(value)}</value></property>" for key, value in settings.items())
    return "\n".join(["<configuration>", *items, "</configuration>", ""])


def connect_properties(common: Mapping[str, str], master: str) -> dict[str, str]:
    """Those of the Spark Connect server."""
    return {
        "spark.connect.grpc.binding.port": "0",
        "spark.app.name": "Spark Connect",
        **common,
        "spark.master": master,
        "spark.connect.grpc.binding.address": LOOPBACK,
    }


def classic_properties(common: Mapping[str, str], master: str, job: Plan) -> dict[str, str]:
    """Those of a program with a driver of its own."""
    mine = {key: value for key, value in common.items() if not key.startswith("spark.connect.")}
    added = {
        key: job["spark_conf"][key] + sign + mine[key]
        for key, sign in _ADDED_TO.items()
        if key in mine and key in job["spark_conf"]
    }
    return {**mine, "spark.app.name": job["name"], **job["spark_conf"], **added, "spark.master": master}


def local_master(plan: Plan) -> str:
    """The master of a single node."""
    return f"local[{plan['driver_cores'] or '*'}]"


def properties_text(properties: Mapping[str, str]) -> str:
    """A Java properties file."""
    return "".join(f"{_escaped(key, in_key=True)}={_escaped(value)}\n" for key, value in properties.items())


def connect_command(made_of: Installation, site: Site, properties: Path, memory: str, conf: Mapping[str, str]) -> list[str]:
    """The Spark Connect server."""
    record = [f"-XX:ArchiveClassesAtExit={made_of.record}"] if made_of.record else []
    service = ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"]
    return [*_driver(made_of, site, memory, conf), *record, *_submit(properties), *service]


def classic_command(
    made_of: Installation, site: Site, properties: Path, memory: str, conf: Mapping[str, str], program: list[str]
) -> list[str]:
    """A Python program whose driver is a JVM of its own, as ``spark-submit`` starts it."""
    return [*_driver(made_of, site, memory, conf), *_submit(properties), *program]


def master_command(made_of: Installation, site: Site, properties: Path) -> list[str]:
    """The master of a standalone cluster."""
    main = "org.apache.spark.deploy.master.Master"
    return [*_java(made_of, site, _DAEMON_MEMORY), main, *_ports(), "--properties-file", str(properties)]


def worker_command(made_of: Installation, site: Site, properties: Path, plan: Plan, master: str) -> list[str]:
    """A worker of a standalone cluster. It offers twice its size, so that a classic program finds room beside the server."""
    size = ["--cores", str(2 * plan["worker_cores"]), "--memory", f"{2 * memory_mib(plan['worker_memory'])}m"]
    main = "org.apache.spark.deploy.worker.Worker"
    where = ["--work-dir", str(site.scratch / "work"), "--properties-file", str(properties), master]
    return [*_java(made_of, site, _DAEMON_MEMORY), main, *_ports(), *size, *where]


def _class_paths(given: Mapping[str, str], site: Site) -> dict[str, str]:
    """Where drivers and executors find more classes, after those that the user names."""
    if not site.classes:
        return {}
    return {name: ":".join([*filter(None, [given.get(name)]), *map(str, site.classes)]) for name in _CLASS_PATHS}


def _redaction(given: Mapping[str, str], secrets: Iterable[str]) -> str:
    """What Spark's pages and logs never show: what the user says, and every secret of ours whatever the user says."""
    return "|".join([given.get("spark.redaction.regex", _REDACTION), *(f"^{re.escape(key)}$" for key in sorted(secrets))])


def _driver(made_of: Installation, site: Site, memory: str, conf: Mapping[str, str]) -> list[str]:
    """A driver's JVM, with the properties that only its command line can honour."""
    options = [conf.get(f"spark.driver.{name}JavaOptions", "") for name in ("default", "extra")]
    after = conf.get("spark.driver.extraClassPath", "")
    return [*_java(made_of, site, memory, after), *shlex.split(" ".join(options))]


def _java(made_of: Installation, site: Site, memory: str, after: str = "") -> list[str]:
    """A JVM; what comes ``after`` Spark's jars on the class path leaves the archive valid."""
    jars = made_of.spark_home / "jars"
    first = sorted(jars.glob("slf4j-api-*.jar"))
    archive = [f"-XX:SharedArchiveFile={made_of.archive}", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"] if made_of.archive else []
    return [
        *(str(made_of.java), "-cp", ":".join([*map(str, first), f"{jars}/*", *filter(None, [after])]), f"-Xmx{memory}"),
        *_JVM_FLAGS,
        *archive,
        f"-Djava.io.tmpdir={site.scratch / 'tmp'}",
        f"-Dlog4j2.configurationFile={site.logging.as_uri()}",
    ]


def _submit(properties: Path) -> list[str]:
    return ["org.apache.spark.deploy.SparkSubmit", "--properties-file", str(properties)]


def _ports() -> list[str]:
    return ["--host", LOOPBACK, "--port", "0", "--webui-port", "0"]


def _cores(plan: Plan) -> int:
    if plan["workers"]:
        return int(plan["workers"] * plan["worker_cores"])
    return int(plan["driver_cores"] or os.cpu_count() or 1)


def _escaped(text: str, *, in_key: bool = False) -> str:
    special = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f"}
    if in_key:
        special |= {":": "\\:", "=": "\\=", " ": "\\ ", "#": "\\#", "!": "\\!"}
    escaped = "".join(special.get(character, character) for character in text)
    return f"\\{escaped}" if escaped.startswith(" ") else escaped
