"""Put the airports' ranks into a key-value store that speaks Redis' protocol: the sorted set ``airports:rank``.

    store.py --input /data/flights/ranks --store localhost:6379

Needs the package ``redis``. A password is taken from the variable ``REDIS_PASSWORD``. The new ranks take the place of the old ones
at once. Hands back the number of airports and the first three.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import redis
from pyspark.sql import SparkSession

KEY = "airports:rank"


def store(spark: SparkSession, source: str, address: str) -> dict[str, object]:
    """Write the ranks, and return ``{"airports", "first"}`` as the store has them then."""
    ranks = {row["airport"]: row["rank"] for row in spark.read.parquet(source).collect()}
    host, _, port = address.partition(":")
    with redis.Redis(host, int(port or 6379), password=os.environ.get("REDIS_PASSWORD"), decode_responses=True) as client:
        with client.pipeline(transaction=True) as together:
            together.delete(KEY)
            together.zadd(KEY, ranks)
            together.execute()
        return {"airports": client.zcard(KEY), "first": client.zrevrange(KEY, 0, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True)
    parser.add_argument("--store", required=True, help="host:port")
    args = parser.parse_args()
    result = store(SparkSession.builder.getOrCreate(), args.input, args.store)
    print(result)
    if path := os.environ.get("AIRFLOW_ML_RESULT"):
        Path(path).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
