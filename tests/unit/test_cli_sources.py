"""`sources show` against a worker's site."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import msgspec
import pytest

from monitor.gauges import Gauges, SourceUse
from streams.cli.app import run

Captured = pytest.CaptureFixture[str]
PICTURE = Gauges(
    journal_id="j", term="t", next_offset=3, time_ms=1, base_currency="JPY", base_decimals=0,
    sources={"withdrawals/1": SourceUse(9, 12, "hole"), "outflows/0": SourceUse(5, 5, "reading")},
)  # fmt: skip


class Answering(BaseHTTPRequestHandler):
    """A worker's site; the server's `owner` says whether it owns the core."""

    def do_GET(self) -> None:
        owner = bool(getattr(self.server, "owner", False))
        self.send_response(200 if owner else 503)
        self.end_headers()
        self.wfile.write(msgspec.json.encode(PICTURE if owner else {"error": "not the owner"}))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
        """Say nothing."""


def served(*, owner: bool) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answering)
    server.owner = owner  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def owner() -> Iterator[str]:
    yield from served(owner=True)


@pytest.fixture
def standby() -> Iterator[str]:
    yield from served(owner=False)


def test_show_asks_every_worker_until_the_owner_answers(owner: str, standby: str, capsys: Captured) -> None:
    assert run(["sources", "show", "--url", "http://127.0.0.1:1", "--url", standby, "--url", owner]) == 0
    assert [line.split("\t") for line in capsys.readouterr().out.splitlines()] == [
        ["outflows/0", "5", "5", "0", "reading"],
        ["withdrawals/1", "9", "12", "3", "hole"],
    ]


def test_show_json(owner: str, capsys: Captured) -> None:
    assert run(["sources", "show", "--url", owner, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[1] == {"source": "withdrawals/1", "next_offset": 9, "log_end": 12, "lag": 3, "state": "hole"}


def test_show_says_when_nobody_owns_the_core(standby: str, capsys: Captured) -> None:
    assert run(["sources", "show", "--url", standby]) == 2
    assert capsys.readouterr().err == f"No worker at {standby} owns the core now; give the others' sites with --url.\n"
