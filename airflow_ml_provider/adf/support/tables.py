"""Tables for the documentation, made from what the importer knows: ``airflow-ml adf tables``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from airflow_ml_provider.adf import known_properties as known
from airflow_ml_provider.adf.support.differences import DIFFERENCES

_PARTS: Mapping[str, known.Known] = {
    "source of a Copy or a Lookup": known.SOURCE,
    "sink of a Copy": known.SINK,
    "storeSettings of a source": known.STORE_READ,
    "storeSettings of a sink": known.STORE_WRITE,
    "formatSettings of a source": known.FORMAT_READ,
    "formatSettings of a sink": known.FORMAT_WRITE,
    "translator.typeConversionSettings": known.TYPE_CONVERSION,
    "polyBaseSettings": known.LOG_OF_LOADING,
}


def properties() -> Iterator[str]:
    """Each property of each object: honoured, without effect on the result, or refused."""
    for title, group in (("Activities", known.ACTIVITIES), ("Parts of a Copy", _PARTS), ("Triggers", known.TRIGGERS)):
        yield from (
            "",
            f"## {title}",
            "",
            "| object | honoured | without effect on the result | refused |",
            "| --- | --- | --- | --- |",
        )
        for name, one in sorted(group.items()):
            cells = (", ".join(f"`{item}`" for item in sorted(items)) for items in (one.honoured, one.idle, one.refused))
            yield f"| {name} | {' | '.join(cells)} |"


def differences() -> Iterator[str]:
    """Each known difference, in a sentence."""
    yield from ("", "| difference | |", "| --- | --- |")
    yield from (f"| {one.id} | {one.sentence} |" for one in DIFFERENCES)


PAGES = {
    "adf-properties.md": (
        "# Properties of Data Factory, one by one",
        (
            "What is refused fails the activity when it is reached, and the report names it. A property that is not set, or set to what happens "
            "anyway, is never refused. This page is made by `airflow-ml adf tables`."
        ),
        properties,
    ),
    "adf-differences.md": (
        "# Runs, but differs",
        "`airflow-ml adf report` names these differences for each pipeline that they can touch. This page is made by `airflow-ml adf tables`.",
        differences,
    ),
}
"""By file: its title, its first sentences and its lines."""


def page(name: str) -> str:
    """A page of the documentation."""
    title, about, lines = PAGES[name]
    return "\n".join([title, "", about, *lines(), ""])
