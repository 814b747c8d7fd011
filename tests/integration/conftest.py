"""Fixtures of the integration tests: one Apache Kafka for the session, and a deployment with a prefix of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.deployment import Deployment
from tests.integration.kafka_broker import KafkaBroker

numbers = iter(range(1_000_000))


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """Shared: tests may not stop it."""
    with KafkaBroker(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    """One that the test may stop, pause and start again."""
    with KafkaBroker(tmp_path / "kafka", heap_mb=512) as running:
        yield running


def deployed(broker: KafkaBroker, directory: Path, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    deployment = Deployment(broker, f"t{next(numbers)}.", directory)
    try:
        yield deployment
        if request.session.testsfailed:
            print(deployment.logs())
    finally:
        deployment.close()


@pytest.fixture
def deployment(broker: KafkaBroker, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """On the shared broker; its topics are made."""
    for made in deployed(broker, tmp_path, request):
        made.make_topics()
        yield made


@pytest.fixture
def own_deployment(own_broker: KafkaBroker, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """On a broker of the test's own."""
    for made in deployed(own_broker, tmp_path, request):
        made.make_topics()
        yield made
