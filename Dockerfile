FROM python:3.13-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends fuse3 git openssh-client procps \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 50000 airflow \
    && mkdir -p /opt/airflow /secrets \
    && chown airflow /opt/airflow /secrets

WORKDIR /src
COPY constraints/airflow-3.3.txt constraints/
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY airflow_ml_provider/__init__.py airflow_ml_provider/
# What rarely changes first: the layer with every dependency stays when only this project's code does.
RUN pip install --no-cache-dir uv -c constraints/airflow-3.3.txt \
    && uv pip compile --quiet --extra all --extra jdk -c constraints/airflow-3.3.txt -o /tmp/wanted.txt pyproject.toml \
    && uv pip install --quiet --system --no-cache -r /tmp/wanted.txt psycopg2-binary asyncpg -c constraints/airflow-3.3.txt
COPY . .
RUN uv pip install --quiet --system --no-cache --no-deps . && rm -rf /src/*
COPY docker/*.py docker/mlflow.sh /opt/docker/

USER airflow
ENV AIRFLOW_HOME=/opt/airflow
WORKDIR /opt/airflow
