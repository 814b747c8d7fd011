"""Names on the broker, and what clients are given for each way of reaching one."""

import asyncio
import pathlib
import socket
import ssl
from typing import Any

import pytest

from streams.health import Condition, Health
from streams.kafka import Kafka, TopicNames, connection_arguments, wait_for_broker
from streams.secrets import Secrets, SecretUnavailableError
from streams.settings import KafkaSettings


def test_the_prefix_stands_before_topics_and_groups_but_not_before_own_names() -> None:
    names = TopicNames(KafkaSettings(topic_prefix="prod.", topics={"withdrawals": "exchange.payouts"}))
    assert names.full("withdrawals") == "exchange.payouts" and names.short("exchange.payouts") == "withdrawals"
    assert names.full("journal") == "prod.journal" and names.short("prod.journal") == "journal"
    assert names.group("intake") == "prod.intake"


@pytest.mark.parametrize("topics", [{"withdrawls": "x"}, {"withdrawals": "same", "outflows": "same"}, {"withdrawals": "journal"}])
def test_own_names_that_can_not_be_meant_are_refused(topics: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"kafka\.topics"):
        TopicNames(KafkaSettings(topics=topics))


def test_scram_over_tls(tmp_path: pathlib.Path) -> None:
    settings = KafkaSettings(
        bootstrap_servers="b1:9093,b2:9093",
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="monitor",
        sasl_password="env:PW",
    )
    given = connection_arguments(settings, Secrets({"PW": "s3cret"}))
    assert (given["security_protocol"], given["sasl_mechanism"]) == ("SASL_SSL", "SCRAM-SHA-512")
    assert (given["sasl_plain_username"], given["sasl_plain_password"]) == ("monitor", "s3cret")
    context = given["ssl_context"]
    assert isinstance(context, ssl.SSLContext) and context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname


def test_plaintext_is_given_neither_tls_nor_sasl() -> None:
    given = connection_arguments(KafkaSettings(), Secrets({}))
    assert not {name for name in given if name.startswith(("ssl", "sasl"))} and given["security_protocol"] == "PLAINTEXT"


def test_a_missing_secret_is_an_error_with_its_reference() -> None:
    with pytest.raises(SecretUnavailableError, match="env:PW"):
        connection_arguments(KafkaSettings(security_protocol="SASL_PLAINTEXT", sasl_password="env:PW"), Secrets({}))


def test_mutual_tls_loads_the_clients_certificate(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: dict[str, Any] = {}
    monkeypatch.setattr("streams.kafka.create_ssl_context", lambda **given: loaded.update(given))
    settings = KafkaSettings(
        security_protocol="SSL", ssl_ca_file="ca.pem", ssl_certificate_file="c.pem", ssl_key_file="k.pem", ssl_key_password="env:KEY"
    )
    connection_arguments(settings, Secrets({"KEY": "open"}))
    assert loaded == {"cafile": "ca.pem", "certfile": "c.pem", "keyfile": "k.pem", "password": "open"}


async def test_a_broker_that_is_absent_is_waited_for_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    health, stopping = Health(), asyncio.Event()
    waiting = asyncio.create_task(wait_for_broker(Kafka(KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}"), Secrets({})), health, stopping))
    async with asyncio.timeout(10):
        while Condition.BROKER_UNREACHABLE not in health.conditions():  # noqa: ASYNC110  # looked at from outside
            await asyncio.sleep(0.01)
    assert not health.ready() and f"127.0.0.1:{port}" in health.conditions()[Condition.BROKER_UNREACHABLE]
    stopping.set()
    assert await waiting is False
