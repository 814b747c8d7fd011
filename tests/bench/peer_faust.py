"""A peer: the plain Faust program, as its documentation shows one: an agent, a Table for the profiles, a sink topic.

Started as a process by `peers.py`. Values are raw bytes, decoded and encoded by the shared work, so that Faust's own
(slower) serializers don't count against it; the Table lives in memory and has its changelog in Kafka, as by default.
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

import faust
import uvloop
from faust.types import StreamT

from tests.bench.peer_work import PeerWork, new_profile


def build(arguments: argparse.Namespace) -> faust.App:
    """The app with its one agent."""
    work = PeerWork(every_record=arguments.work == "every-record")
    app = faust.App(
        arguments.group,
        broker=f"kafka://{arguments.bootstrap}",
        store="memory://",
        datadir=arguments.data,
        web_enabled=False,
        topic_partitions=arguments.partitions,
        topic_replication_factor=1,
        topic_disable_leader=True,
        producer_acks=-1,
        consumer_auto_offset_reset="earliest",
    )
    withdrawals = app.topic(arguments.input, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    verdicts = app.topic(arguments.output, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    profiles = app.Table("profiles", default=new_profile, partitions=arguments.partitions)

    async def score(stream: StreamT[Any]) -> None:
        async for value in stream:
            event = work.decode(value)
            profile = profiles[event.account_id]
            verdict = work.judge(profile, event)
            profiles[event.account_id] = profile
            if verdict is not None:
                await verdicts.send(key=event.account_id.encode(), value=verdict)

    app.agent(withdrawals)(score)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "group", "input", "output"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--work", choices=["requested", "every-record"], default="requested")
    uvloop.install()
    application = build(parser.parse_args())
    sys.exit(faust.Worker(application, loglevel=logging.WARNING, redirect_stdouts=False).execute_from_commandline())
