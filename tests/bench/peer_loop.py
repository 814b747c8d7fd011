"""A peer: the hand-written aiokafka loop, as good as a careful engineer writes one. Started as a process by `peers.py`.

Batches in, group commit of verdicts per partition with acks=all, offsets committed after the acknowledgement. With `--work none`
it decodes and writes nothing: the bare limit of consuming and decoding.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence

import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from monitor.contracts.withdrawals import Withdrawal
from tests.bench.peer_work import PeerWork, Profile, new_profile

RECORDS_PER_ROUND = 5_000
BATCH_BYTES = 900_000


async def send(producer: AIOKafkaProducer, topic: str, partition: int, verdicts: Sequence[tuple[bytes, bytes]]) -> None:
    """All verdicts of one partition, in as few batches as they fit in, acknowledged on return."""
    waiting = []
    batch = producer.create_batch()
    for key, value in verdicts:
        if batch.append(key=key, value=value, timestamp=None) is None:
            waiting.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=None)
    waiting.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*waiting)


async def score(consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, topic: str, work: PeerWork) -> None:
    """Read, score and write until the process is ended."""
    profiles: dict[str, Profile] = {}
    while True:
        rounds = await consumer.getmany(timeout_ms=250, max_records=RECORDS_PER_ROUND)
        for source, records in rounds.items():
            verdicts = []
            for record in records:
                event = work.decode(record.value)
                profile = profiles.get(event.account_id)
                if profile is None:
                    profile = profiles[event.account_id] = new_profile()
                verdict = work.judge(profile, event)
                if verdict is not None:
                    verdicts.append((record.key, verdict))
            if verdicts:
                await send(producer, topic, source.partition, verdicts)
        if rounds:
            await consumer.commit()


async def decode_only(consumer: AIOKafkaConsumer, records_expected: int) -> None:
    """Read and decode that many records; prints when the first and the last was decoded."""
    decode = msgspec.json.Decoder(Withdrawal).decode
    seen = 0
    while seen < records_expected:
        rounds = await consumer.getmany(timeout_ms=250, max_records=RECORDS_PER_ROUND)
        if rounds and not seen:
            print(f"first {time.time():.6f}", flush=True)
        for records in rounds.values():
            for record in records:
                decode(record.value)
            seen += len(records)
    print(f"last {time.time():.6f}", flush=True)


async def main(arguments: argparse.Namespace) -> None:
    """Take this process's share of the partitions and work; assigned by hand, so no rebalance is in the figures."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=arguments.bootstrap,
        group_id=arguments.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4_194_304,
        check_crcs=False,
    )
    producer = AIOKafkaProducer(bootstrap_servers=arguments.bootstrap, acks="all", enable_idempotence=True, max_batch_size=BATCH_BYTES)
    share, shares = (int(number) for number in arguments.share.split("/"))
    async with consumer, producer:
        consumer.assign([TopicPartition(arguments.input, partition) for partition in range(share, arguments.partitions, shares)])
        if arguments.work == "none":
            await decode_only(consumer, arguments.records)
        else:
            await score(consumer, producer, arguments.output, PeerWork(every_record=arguments.work == "every-record"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "group", "input", "output"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--work", choices=["requested", "every-record", "none"], default="requested")
    parser.add_argument("--share", default="0/1")
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--records", type=int, default=0)
    uvloop.run(main(parser.parse_args()))
