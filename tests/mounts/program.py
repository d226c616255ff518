"""The operations of the mounts' contract, run on a cluster. Sent as text: what it prints is nothing, what it hands back is all.

``{base}`` stands for the mount's root. Under Spark Connect it has no ``{files}`` part; a classic program runs that one too.
"""

from __future__ import annotations

NAMES = ("with space", "a=b", "per%20cent", "plus+sign", "ünï-ço∂é")
"""Names of files and folders that stores and URIs like to get wrong."""

SPARK = """
import json, os
from concurrent.futures import ThreadPoolExecutor
from pyspark.sql import SparkSession, functions as F

spark = SparkSession.builder.getOrCreate()
base, small = {base!r}, {small}
found = {{}}

def numbers(count, first=0):
    return spark.range(first, first + count).withColumn("k", F.col("id") % 3)

def told(call):
    try:
        return call()
    except Exception as error:
        return f"{{type(error).__name__}}: {{str(error)[:400]}}"

def count(path, kind="parquet"):
    return spark.read.format(kind).load(path).count()

def write_and_read():
    numbers(100).write.mode("overwrite").parquet(base + "/table")
    return count(base + "/table")

def append():
    numbers(10, 100).write.mode("append").parquet(base + "/table")
    return count(base + "/table")

def overwrite():
    numbers(7).write.mode("overwrite").parquet(base + "/table")
    return count(base + "/table")

def partitioned():
    numbers(99).write.mode("overwrite").partitionBy("k").parquet(base + "/parts")
    return [spark.read.parquet(base + "/parts").where("k = 1").count(), count(base + "/parts")]

def formats():
    for kind in ("json", "csv", "orc"):
        numbers(5).coalesce(1).write.mode("overwrite").format(kind).save(base + "/" + kind)
    return [count(base + "/" + kind, kind) for kind in ("json", "csv", "orc")]

def concurrent():
    def write(first):
        numbers(5, first).coalesce(1).write.mode("append").json(base + "/shared")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(0, 20, 5)))
    return count(base + "/shared", "json")

def dynamic():
    numbers(9).write.mode("overwrite").partitionBy("k").json(base + "/dynamic")
    one = numbers(30).where("k = 1").write.mode("overwrite").partitionBy("k")
    one.option("partitionOverwriteMode", "dynamic").json(base + "/dynamic")
    numbers(4).drop("k").coalesce(1).write.mode("append").json(base + "/dynamic/k=7")
    return {{str(row.k): row["count"] for row in spark.read.json(base + "/dynamic").groupBy("k").count().collect()}}

def many():
    each = spark.range(0, small, 1, 4).write.option("maxRecordsPerFile", 1)
    each.mode("overwrite").json(base + "/many")
    return count(base + "/many", "json")

def names():
    for name in {names!r}:
        numbers(3).coalesce(1).write.mode("overwrite").json(base + "/names/" + name)
    return [count(base + "/names/" + name, "json") for name in {names!r}]

for operation in (write_and_read, append, overwrite, partitioned, formats, concurrent, dynamic, many, names):
    found[operation.__name__] = told(operation)
json.dump(found, open(os.environ["AIRFLOW_ML_RESULT"], "w"))
"""

FILES = """
import json, os
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
jvm, conf = spark._jvm, spark._jsc.hadoopConfiguration()
Path = jvm.org.apache.hadoop.fs.Path

def told(call, base):
    try:
        return call(Path(base).getFileSystem(conf), base)
    except Exception as error:
        return f"{{type(error).__name__}}: {{str(error)[:400]}}"

def ls(fs, base):
    return sorted(status.getPath().getName() for status in fs.listStatus(Path(base)))

def file(fs, base):
    path = Path(base + "/files/one.txt")
    stream = fs.create(path)
    stream.writeBytes("hello")
    stream.close()
    return [fs.getFileStatus(path).getLen(), ls(fs, base + "/files")]

def renamed(fs, base):
    done = fs.rename(Path(base + "/files/one.txt"), Path(base + "/files/two.txt"))
    return [done, ls(fs, base + "/files")]

def deleted(fs, base):
    done = fs.delete(Path(base + "/files"), True)
    return [done, fs.exists(Path(base + "/files"))]

def listed(fs, base):
    return ls(fs, base + "/names")

def rdd(fs, base):
    return sum(spark.sparkContext.textFile(base + "/json").map(len).collect()) > 0

found = {{base: {{op.__name__: told(op, base) for op in (listed, file, renamed, deleted, rdd)}} for base in {bases!r}}}
json.dump(found, open(os.environ["AIRFLOW_ML_RESULT"], "w"))
"""


def spark_program(base: str, *, small: int = 20) -> str:
    """Every operation through DataFrames."""
    return SPARK.format(base=base, small=small, names=NAMES)


def files_program(bases: list[str]) -> str:
    """What only Hadoop's own filesystem tells, of several mounts, by a classic program."""
    return FILES.format(bases=bases)
