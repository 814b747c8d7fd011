"""The engine's version: part of every replay hash, every term and every snapshot.

It changes when the same journal would give other bytes; a snapshot of another version is refused and the journal folded again.
"""

ENGINE_VERSION = "3"
