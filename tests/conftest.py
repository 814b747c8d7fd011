"""Tests that need more than Python say so by a marker.

Where it is missing they are skipped by name, or fail when CI=true or REQUIRE_ALL=1.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable

import pytest

from tests.integration import kafka_broker
from tests.scenarios import public_streams


def _missing(tool: str) -> list[str]:
    return [] if shutil.which(tool) else [tool]


NEEDS: dict[str, Callable[[], list[str]]] = {
    "kafka": kafka_broker.missing_tools,
    "promtool": lambda: _missing("promtool"),
    "browser": lambda: [*_missing("chromium"), *_missing("pdftotext")],
    "public_streams": public_streams.missing,
}
PACKAGES = {
    "java": "Java (default-jre-headless)",
    "mvn": "Maven (maven)",
    "promtool": "promtool (prometheus)",
    "chromium": "Chromium (chromium)",
    "pdftotext": "pdftotext (poppler-utils)",
    **{name: f"the labelled stream {name} in ../shared/data" for name in public_streams.FILES},
}
REQUIRED = os.environ.get("CI") == "true" or os.environ.get("REQUIRE_ALL") == "1"
lacking: Counter[str] = Counter()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, missing in NEEDS.items():
        if item.get_closest_marker(marker) is None:
            continue
        for tool in missing():
            lacking[tool] += 1
            sentence = f"needs {PACKAGES[tool]}, which isn't on this machine"
            if REQUIRED:
                pytest.fail(sentence, pytrace=False)
            pytest.skip(sentence)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for tool, tests in sorted(lacking.items()):
        terminalreporter.write_line(f"{tests} tests did not run: they need {PACKAGES[tool]}.", yellow=True)
