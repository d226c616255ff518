"""Work that a service would do again each time it is asked, asked for once."""

from __future__ import annotations

import threading
from collections.abc import Callable

from airflow_ml_provider.backends.aws.errors import surely_not_done
from airflow_ml_provider.backends.aws.storage import Store
from airflow_ml_provider.core.errors import ProviderError
from airflow_ml_provider.core.staging import Place

_ONE_AT_A_TIME = threading.Lock()


def once(store: Store, folder: Place, *, find: Callable[[], str | None], ask: Callable[[], str]) -> str:
    """The id of a piece of work: as it was noted, as the service knows it, or of new work.

    Between the claim and the note only ``ask`` runs. A process that dies there leaves work that ``find`` finds.

    :param folder: of the work, for its claim and its id.
    :param find: looks for the work at the service.
    :raises Unavailable: another process may be between the two now.
    """
    with _ONE_AT_A_TIME:
        if (noted := store.read(folder / "id")) is not None:
            return noted.decode()
        if found := find():
            return found
        store.claim(folder / "claim")
        try:
            made = ask()
        except ProviderError as error:
            if surely_not_done(error):
                store.release(folder / "claim")
            raise
        store.write(folder / "id", made.encode())
        return made
