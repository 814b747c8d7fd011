"""The audit trail of a running monitor on Apache Kafka: its heads are signed, a takeover goes on with it, what is kept is proven by files alone."""

from pathlib import Path

import pytest

from streams.journal_file import entry_of, line_of
from tests.integration.deployment import Deployment

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


def test_the_journal_is_proven_by_its_signed_heads(deployment: Deployment, tmp_path: Path) -> None:
    key = deployment.command("audit", "key", str(tmp_path / "key"))
    assert key.returncode == 0, key.stderr
    trusted = ("--key", f"night={key.stdout.strip()}")
    deployment.environment |= {"AUDIT__SIGNING_KEY": f"file:{tmp_path / 'key'}", "AUDIT__KEY_NAME": "night"}
    worker = deployment.worker(supervised=True)
    worker.wait_ready()
    with deployment.traffic(1_000) as traffic:
        traffic.wait_sent(3_000)
        deployment.owner().crash()
        traffic.wait_sent(traffic.sent + 3_000)
    worker.wait_ready()
    until = deployment.settle()
    live = deployment.command("audit", "verify", *trusted)
    assert live.returncode == 0, live.stdout + live.stderr
    assert live.stdout.startswith("as signed\t0\t")
    assert deployment.stop_all() == [0]
    deployment.assert_promises(until)

    journal, heads = tmp_path / "journal.jsonl", tmp_path / "heads.jsonl.gz"
    assert deployment.command("journal", "export", str(journal)).returncode == 0
    assert deployment.command("audit", "heads", str(heads)).returncode == 0
    offline = {"KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    verify = ("audit", "verify", str(journal), "--heads", str(heads), *trusted)
    assert deployment.command(*verify, **offline).returncode == 0

    lines = journal.read_bytes().splitlines(keepends=True)
    offset, entry = entry_of(lines[777])
    lines[777] = line_of(offset, entry.replace(b"1", b"2", 1))
    journal.write_bytes(b"".join(lines))
    found = deployment.command(*verify, **offline)
    assert found.returncode == 1
    assert found.stdout.startswith("CHANGED\t777\t777\t")
