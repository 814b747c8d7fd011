"""Where snapshots are kept: a store by URL, written whole, named by journal and offset, the newest ones kept.

Knows nothing of what is in them. Every method blocks: the services call them in a thread.
"""

import datetime as dt
import pathlib
import re
import urllib.parse
from collections.abc import Iterable
from typing import Any, NamedTuple

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

NAME = re.compile(r"([0-9a-f]{16})-([0-9]{20})\.snapshot")
RETRY_TIMEOUT = dt.timedelta(seconds=20)  # a store that doesn't answer is said to be down rather than waited for
STORE_ERRORS = (OSError, BaseError, ValueError)


class SnapshotStoreError(Exception):
    """The store can't be used; the text says what happened."""


class StoredSnapshot(NamedTuple):
    """One snapshot in the store; `journal` is the beginning of the journal's id."""

    journal: str
    next_offset: int
    name: str


class SnapshotStore:
    """The store at `url`: file:///path (made with its parents), s3://…, gs://…, az://….

    An object store's upload counts once it is complete; the local one writes a file beside and renames it. A torn file is refused by its checksum.
    """

    def __init__(self, url: str, kept: int) -> None:
        self.url = url
        self._kept = kept
        self._store: Any = None

    def save(self, journal_id: str, next_offset: int, pieces: Iterable[bytes]) -> str:
        """Store one snapshot, piece by piece but whole or not at all, and delete the oldest of this journal beyond those kept; gives its name.

        Raises SnapshotStoreError.
        """
        name = f"{journal_id[:16]}-{next_offset:020d}.snapshot"
        try:
            obstore.put(self._opened(), name, iter(pieces))
            ours = [stored for stored in self._names() if stored.journal == journal_id[:16]]
            for old in ours[self._kept :]:
                obstore.delete(self._opened(), old.name)
        except STORE_ERRORS as error:
            self._store = None
            raise SnapshotStoreError(_short(error)) from error
        return name

    def names(self) -> list[StoredSnapshot]:
        """All snapshots there, of every journal, the highest offset first. Raises SnapshotStoreError."""
        try:
            return self._names()
        except STORE_ERRORS as error:
            self._store = None
            raise SnapshotStoreError(_short(error)) from error

    def load(self, name: str) -> bytes:
        """The bytes of one snapshot. Raises SnapshotStoreError, also when it was deleted meanwhile."""
        try:
            return bytes(obstore.get(self._opened(), name).bytes())
        except STORE_ERRORS as error:
            raise SnapshotStoreError(_short(error)) from error

    def _opened(self) -> Any:
        if self._store is None:
            self._store = _open(self.url)
        return self._store

    def _names(self) -> list[StoredSnapshot]:
        found = []
        for page in obstore.list(self._opened()):
            for item in page:
                matched = NAME.fullmatch(item["path"])
                if matched:
                    found.append(StoredSnapshot(matched[1], int(matched[2]), item["path"]))
        return sorted(found, key=lambda stored: stored.next_offset, reverse=True)


def _open(url: str) -> Any:
    scheme, _, rest = url.partition("://")
    if scheme == "file":
        path = pathlib.Path(urllib.parse.unquote(rest))
        path.mkdir(parents=True, exist_ok=True)
        return LocalStore(prefix=path.resolve())
    return from_url(url, retry_config={"max_retries": 3, "retry_timeout": RETRY_TIMEOUT})


def _short(error: Exception) -> str:
    return str(error).split("\n", 1)[0] or type(error).__name__
