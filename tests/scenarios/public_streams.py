"""Where the labelled public payment streams lie: beside the project, never in it. What a test of them calls `evaluate` with."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

from streams.cli.app import run

FILES = ("fdh_dev.parquet", "fdh_long.parquet", "sparkov_dev.parquet")
FDH = "time=TX_DATETIME,account=CUSTOMER_ID,destination=TERMINAL_ID,amount=TX_AMOUNT,label=TX_FRAUD"
SPARKOV = "time=ts,account=account,destination=dest,asset=category,amount=amt,label=is_fraud"


def folder() -> Path:
    """`shared/data` beside the project or above it."""
    above = Path(__file__).parents[3]
    return next((top / "shared" / "data" for top in (above, *above.parents) if (top / "shared" / "data").is_dir()), above / "shared" / "data")


def missing() -> list[str]:
    """Files that aren't there."""
    return [name for name in FILES if not (folder() / name).is_file()]


def evaluated(file: Path, columns: str, *arguments: str) -> dict[str, Any]:
    """What `evaluate --json` gives."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        assert run(["evaluate", str(file), "--columns", columns, "--bootstrap", "0", "--json", *arguments]) == 0
    result: dict[str, Any] = json.loads(shown.getvalue())
    return result
