"""Programs from Git: real servers on loopback, and Airflow's own connections."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.core.errors import ConfigurationError, SpecError
from airflow_ml_provider.core.git import GitSource, commit_of, git_tags
from airflow_ml_provider.hooks.git_source import checked_out
from tests.servers.git import TOKEN, HttpServer, Repository, http_server, ssh_server


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIRFLOW_ML_GIT", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    (tmp_path / "served").mkdir()
    return Repository.make(tmp_path / "served")


@pytest.fixture
def http(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    monkeypatch.setenv("AIRFLOW_CONN_GIT_HTTP", json.dumps({"conn_type": "git", "login": "user", "password": TOKEN}))
    with http_server(repository.folder) as server:
        yield server


def test_a_branch_that_moves_stays_where_it_was_for_the_run(repository: Repository, http: HttpServer) -> None:
    first = repository.commit(job__py="print(1)")
    source = GitSource(url=http.url, conn_id="git_http")
    place, commit = checked_out(source, "run-1")
    assert (commit, (place / "job.py").read_text()) == (first, "print(1)")
    second = repository.commit(job__py="print(2)")
    assert checked_out(source, "run-1") == (place, first)
    assert checked_out(source, "run-2")[1] == second
    assert not (place.parent / "repository.git" / "refs" / "heads" / "main").exists()
    shallow = (place.parent / "repository.git" / "shallow").read_text().split()
    assert set(shallow) <= {first, second} and second in shallow


def test_twenty_tasks_at_once_fetch_once(repository: Repository, http: HttpServer) -> None:
    commit = repository.commit(job__py="print(1)")
    source = GitSource(url=http.url, conn_id="git_http")
    with ThreadPoolExecutor(20) as pool:
        found = set(pool.map(lambda _: checked_out(source, "run"), range(20)))
    assert {one[1] for one in found} == {commit}
    assert len(http.fetches) == 1


def test_tags_commits_and_what_is_not_there(repository: Repository, http: HttpServer) -> None:
    first = repository.commit(job__py="print(1)")
    repository.tag("v1")
    repository.commit(job__py="print(2)")
    for ref in ("v1", "refs/tags/v1", first):
        assert checked_out(GitSource(url=http.url, ref=ref, conn_id="git_http"), "run")[1] == first
    with pytest.raises(SpecError, match="no such branch or tag"):
        checked_out(GitSource(url=http.url, ref="gone", conn_id="git_http"), "run")
    with pytest.raises(ConfigurationError, match="may not read it"):
        checked_out(GitSource(url=http.url), "run")
    with pytest.raises(ConfigurationError, match="not found"):
        checked_out(GitSource(url=http.url.replace("repo.git", "other.git"), conn_id="git_http"), "run")


def test_by_ssh_with_a_key(repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commit = repository.commit(job__py="print(1)")
    with ssh_server(repository.folder) as (port, key):
        extra = {"private_key": key, "strict_host_key_checking": "accept-new", "known_hosts_file": str(tmp_path / "known")}
        monkeypatch.setenv("AIRFLOW_CONN_GIT_SSH", json.dumps({"conn_type": "git", "extra": extra}))
        source = GitSource(url=f"ssh://git@127.0.0.1:{port}/repo.git", conn_id="git_ssh")
        assert checked_out(source, "run")[1] == commit


@pytest.mark.parametrize(
    "url",
    [
        *("https://github.com/org/repo", "https://github.com/org/repo.git", "git@github.com:org/repo.git"),
        *(
            "https://me@bitbucket.org/space/repo.git",
            "git@bitbucket.org:space/repo.git",
            "ssh://git@bitbucket.org/space/repo.git",
        ),
        *("https://org@dev.azure.com/org/project/_git/repo", "git@ssh.dev.azure.com:v3/org/project/repo"),
    ],
)
def test_addresses_as_services_write_them(url: str) -> None:
    source = GitSource(url=url)
    assert source.url == url
    assert git_tags(source, "a" * 40)["mlflow.source.git.repoURL"] == source.shown
    assert "me@" not in source.shown and "org@" not in source.shown


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"url": "https://github.com/org/repo/tree/main"}, "address of a page"),
        ({"url": f"https://user:{TOKEN}@github.com/org/repo"}, "holds a password"),
        ({"url": "github.com"}, "takes the address to clone from"),
        ({"url": "https://github.com/org/repo", "ref": "--upload-pack=x"}, "GitSource.ref"),
    ],
)
def test_wrong_addresses_are_refused_and_not_shown(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        GitSource(**fields)
    assert TOKEN not in str(caught.value)


def test_a_name_of_a_branch_and_a_tag_is_refused() -> None:
    with pytest.raises(SpecError, match="is a branch and a tag"):
        commit_of(GitSource(url="/r", ref="v1"), {"refs/heads/v1": "a", "refs/tags/v1": "b"})


def test_a_task_runs_what_the_repository_has(service: Any, run: Any, repository: Repository, http: HttpServer) -> None:
    from airflow.sdk import DAG

    from airflow_ml_provider.cluster import SparkCluster

    commit = repository.commit(job__py="print(1)")
    with DAG("from_git") as dag, SparkCluster("spark") as cluster:
        cluster.job("job", program="job.py", git=GitSource(url=http.url, conn_id="git_http"))
    done = run(dag)
    assert done.state == "success"
    assert done.xcom("spark.job", "git_commit") == commit
    assert TOKEN not in str(done.xcoms()) + str(done.rendered("spark.job"))
