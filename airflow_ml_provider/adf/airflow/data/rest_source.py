"""Rows of a REST service: page after page of JSON, from the connection of the linked service."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed, Call
from airflow_ml_provider.adf.airflow.data.dataset_places import Store
from airflow_ml_provider.adf.airflow.data.http_file import headers_of
from airflow_ml_provider.adf.airflow.data.http_requests import ask_connection
from airflow_ml_provider.adf.durations import seconds_of
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.adf.support.rest_pagination import NEXT, steps
from airflow_ml_provider.core.errors import SpecError

_MINUTE = 100.0


def rows_of_rest(call: Call, source: Store, asked: Mapping[str, Any]) -> Iterator[Any]:
    """The objects of every page: those at the translator's ``collectionReference``, or the page's own."""
    reference = pick(call("translator") or {}, "collectionReference")
    for page in _pages(source, asked):
        found = at(page, str(reference)) if reference else page
        for one in found if isinstance(found, list) else [found]:
            yield one if isinstance(one, dict) else {"Prop_0": one}


def at(page: Any, path: str) -> Any:
    """What a JSON document holds at a path such as ``$.a['b']``; None where it holds nothing."""
    for step in steps(path):
        page = page.get(step) if isinstance(page, Mapping) else None
    return page


def _pages(source: Store, asked: Mapping[str, Any]) -> Iterator[Any]:
    bag = {**{key: pick(source.properties, key) for key in ("relativeUrl", "requestMethod", "requestBody", "additionalHeaders")}}
    bag |= {key: found for key in bag if (found := pick(asked, key))}
    method, path = str(bag["requestMethod"] or "GET").upper(), str(bag["relativeUrl"] or "")
    rules = {**(pick(source.properties, "paginationRules") or {}), **(pick(asked, "paginationRules") or {})}
    pause, timeout = seconds_of(pick(asked, "requestInterval")) or 0.0, seconds_of(pick(asked, "httpRequestTimeout")) or _MINUTE
    seen: set[str] = set()
    while path not in seen:
        seen.add(path)
        sent = {"headers": {"Accept": "application/json", **headers_of(bag)}, "body": bag["requestBody"], "timeout": timeout}
        answer = ask_connection(method, source.conn_id, path, **sent)
        if not answer.ok:
            raise ActivityFailed(f"{method} was answered {answer.status_code}: {answer.text[:500]}", str(answer.status_code))
        page = answer.json()
        yield page
        told = at(page, rules[NEXT]) if NEXT in rules else answer.links.get("next", {}).get("url")
        if not told:
            return
        path = _on_the_same_server(str(told), answer.url)
        time.sleep(pause)


def _on_the_same_server(told: str, asked: str) -> str:
    """The next page's address below its server. Another server is not told this one's login."""
    there, here = urlsplit(told), urlsplit(asked)
    if there.netloc and there.netloc != here.netloc:
        raise SpecError(f"paginationRules: the next page is on {there.netloc!r}: takes pages of {here.netloc!r}")
    return told[told.index(there.netloc) + len(there.netloc) :] if there.netloc else told
