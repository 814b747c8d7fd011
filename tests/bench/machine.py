"""Describes the machine and the versions that a run of the benchmark was made with. Reads /proc; decides nothing."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from tests.integration.kafka_broker import fetch_jars

LIBRARIES = ("aiokafka", "faust-streaming", "msgspec", "numba", "numpy", "river", "uvloop")


def machine() -> dict[str, str]:
    """Facts by name, for people."""
    java = subprocess.run(["java", "-version"], check=False, capture_output=True, text=True)
    kafka = next((jar.stem.removeprefix("kafka-clients-") for jar in fetch_jars().glob("kafka-clients-*.jar")), "?")
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Apache Kafka": f"{kafka}, one node on loopback, 1 GB heap, {java.stderr.splitlines()[0] if java.stderr else 'Java'}",
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
