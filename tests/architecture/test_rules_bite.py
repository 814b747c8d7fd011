"""Each house rule, shown a sample that breaks it and one that keeps it: a rule that never bites proves nothing."""

import ast

import pytest

from tests.architecture import rules

BREAKS = [
    (rules.imports_go_one_way, "detectors/a.py", "from monitor.policy import Policy"),
    (rules.imports_go_one_way, "detectors/a.py", "import msgspec"),
    (rules.imports_go_one_way, "monitor/a.py", "import streams.kafka"),
    (rules.imports_go_one_way, "monitor/a.py", "def f():\n    import aiokafka"),
    (rules.imports_go_one_way, "streams/a.py", "from tests.unit import x"),
    (rules.imports_go_one_way, "streams/a.py", "from . import b"),
    (rules.pure_outside_the_shell, "monitor/a.py", "import time"),
    (rules.pure_outside_the_shell, "monitor/a.py", "from os import path"),
    (rules.pure_outside_the_shell, "detectors/a.py", "import logging.handlers"),
    (rules.pure_outside_the_shell, "detectors/a.py", "async def f(): ..."),
    (rules.pure_outside_the_shell, "monitor/a.py", "import datetime\nnow = datetime.datetime.now()"),
    (rules.pure_outside_the_shell, "monitor/a.py", "open('x')"),
    (rules.pure_outside_the_shell, "streams/simulation/a.py", "import asyncio"),
    (rules.randomness_has_a_seed, "monitor/a.py", "import random\nrandom.random()"),
    (rules.randomness_has_a_seed, "streams/simulation/a.py", "import random\nrandom.Random()"),
    (rules.randomness_has_a_seed, "detectors/a.py", "import numpy as np\nnp.random.normal()"),
    (rules.randomness_has_a_seed, "detectors/a.py", "import numpy as np\nnp.random.default_rng()"),
    (rules.randomness_has_a_seed, "detectors/a.py", "from random import random"),
    (rules.same_bytes_on_every_machine, "detectors/a.py", "import math\nmath.exp(1)"),
    (rules.same_bytes_on_every_machine, "monitor/a.py", "import numpy as np\nnp.log(1)"),
    (rules.same_bytes_on_every_machine, "detectors/a.py", "sum([0.1])"),
    (rules.functions_are_short, "monitor/a.py", "def f():\n" + "    x = 1\n" * 60),
    (rules.files_open_with_their_contract, "monitor/a.py", "x = 1"),
    (rules.money_is_never_a_float, "monitor/a.py", "float(amount)"),
    (rules.money_is_never_a_float, "monitor/a.py", "float(mark.amount_minor)"),
    (rules.money_is_never_a_float, "monitor/a.py", "float(amounts[0])"),
    (rules.money_is_never_a_float, "monitor/a.py", "x = amount_minor / 2"),
    (rules.money_is_never_a_float, "monitor/a.py", "x = (a + amount_minor) / 2"),
    (rules.money_is_never_a_float, "monitor/a.py", "x = amount_minor * 0.5"),
    (rules.money_is_never_a_float, "monitor/a.py", "amount_minor: float = 0"),
    (rules.money_is_never_a_float, "monitor/a.py", "def f(amount: int | float): ..."),
    (rules.third_parties_have_one_importer, "streams/core.py", "import faust"),
    (rules.third_parties_have_one_importer, "streams/core.py", "from mode import Service"),
    (rules.third_parties_have_one_importer, "streams/core.py", "from prometheus_client import Counter"),
    (rules.metrics_are_made_in_one_class, "streams/metrics.py", "from prometheus_client import Counter\nc = Counter('a', 'b')"),
    (rules.metrics_are_made_in_one_class, "streams/web.py", "import prometheus_client\nprometheus_client.Gauge('a', 'b')"),
    (rules.environment_is_read_in_one_place, "streams/core.py", "import os\nos.environ['A']"),
]
KEEPS = [
    (rules.imports_go_one_way, "detectors/a.py", "import math\nimport numpy as np\nfrom detectors.contract import Run"),
    (rules.imports_go_one_way, "streams/a.py", "import aiokafka\nfrom monitor import policy"),
    (rules.pure_outside_the_shell, "streams/core.py", "import asyncio, time\nasync def f(): ..."),
    (rules.randomness_has_a_seed, "streams/simulation/a.py", "import random\nrandom.Random(7).random()"),
    (rules.randomness_has_a_seed, "detectors/a.py", "import numpy as np\nnp.random.default_rng(7).normal()"),
    (rules.same_bytes_on_every_machine, "detectors/a.py", "import math\nmath.sqrt(2)"),
    (rules.functions_are_short, "monitor/a.py", "def f():\n" + "    x = 1\n" * 59),
    (rules.functions_are_short, "detectors/a_kernel.py", "def f():\n" + "    x = 1\n" * 99),
    (rules.files_open_with_their_contract, "monitor/a.py", '"""What lives here, what never does, who calls it."""'),
    (rules.money_is_never_a_float, "monitor/a.py", "x = amount_minor // 2\ny = float(p_value)\nz = len(amounts) / 2"),
    (rules.money_is_never_a_float, "monitor/a.py", "base_minor_per_minute: float = 0.0\nself.base_minor_per_minute += float(base_minor)"),
    (rules.third_parties_have_one_importer, "streams/frame.py", "import faust"),
    (
        rules.metrics_are_made_in_one_class,
        "streams/metrics.py",
        "from prometheus_client import Counter\nclass Metrics:\n    def __init__(self):\n        self.c = Counter('a', 'b')",
    ),
    (rules.metrics_are_made_in_one_class, "streams/core.py", "from collections import Counter\nCounter()"),
    (rules.environment_is_read_in_one_place, "streams/configuration.py", "import os\nos.environ['A']"),
]


def name(value: object) -> str | None:
    return getattr(value, "__name__", None)


@pytest.mark.parametrize(("rule", "path", "source"), BREAKS, ids=name)
def test_the_rule_bites(rule: rules.Rule, path: str, source: str) -> None:
    assert list(rule(path, ast.parse(source)))


@pytest.mark.parametrize(("rule", "path", "source"), KEEPS, ids=name)
def test_the_rule_lets_pass(rule: rules.Rule, path: str, source: str) -> None:
    assert list(rule(path, ast.parse(source))) == []


def test_every_rule_has_a_sample_that_breaks_it() -> None:
    assert {rule for rule, _, _ in BREAKS} == set(rules.RULES)


def test_sizes_and_names() -> None:
    assert rules.file_is_too_long("monitor/a.py", "x\n" * 401)
    assert rules.file_is_too_long("monitor/a.py", "x\n" * 400) is None
    assert rules.file_is_too_long("detectors/a_kernel.py", "x\n" * 900) is None
    assert rules.file_name_says_nothing("monitor/utils.py")
    assert rules.file_name_says_nothing("monitor/money.py") is None


HOST = "https://files.pythonhosted" + ".org"  # in pieces: this file is checked too
HOME = "/home" + "/me/checkout"


@pytest.mark.parametrize("text", [f"aiohttp @ {HOST}/x.whl", f"cd {HOME}/x", "--index-url" + "=x"])
def test_hosts_and_machine_paths_are_found(text: str) -> None:
    assert list(rules.names_host_or_machine("a.txt", "fine\n" + text))


@pytest.mark.parametrize("text", ["url = s3://bucket/root/x", "cd ~/checkout", "/var/lib/withdrawal-monitor/home/", "deploy/home/a/"])
def test_other_paths_pass(text: str) -> None:
    assert list(rules.names_host_or_machine("a.txt", text)) == []
