"""Relations between settings that no single field's type can say; each is one row of RELATIONS, checked in order.

Values in, sentence out. Called by `streams.configuration` after every value has passed its own type.
"""

import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from detectors.contract import BLOCK_OBSERVATIONS
from detectors.lanes import Lanes
from detectors.registry import Parts, check_names
from monitor.contracts.topics import CONTROL, DEAD_LETTER, INPUTS, JOURNAL, OUTPUTS, RETRIES
from monitor.decided import ALWAYS_TWO, may
from monitor.findings import RULES
from monitor.layers import layer_faults
from monitor.money import parse_amount
from monitor.persons import one_under_two_names
from monitor.policies import BASE_AMOUNTS
from monitor.scoring import configured
from monitor.signatures import public_key
from streams.plug_ins import installed, names
from streams.setting_fields import nearest
from streams.settings import KafkaSettings, Settings

TOPICS = (*(topic.name for topic in INPUTS), RETRIES, JOURNAL, DEAD_LETTER, CONTROL, *(topic.name for topic in OUTPUTS))
SNAPSHOT_SCHEMES = ("file", "s3", "gs", "az", "memory")
TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def broken(settings: Settings) -> Iterator[str]:
    """A sentence for each relation that doesn't hold."""
    for relation in RELATIONS:
        yield from relation(settings)


def _kafka_times(settings: Settings) -> Iterator[str]:
    kafka = settings.kafka
    if kafka.heartbeat_interval_ms >= kafka.session_timeout_ms:
        yield (
            f"kafka.heartbeat_interval_ms ({kafka.heartbeat_interval_ms}) must be less than kafka.session_timeout_ms ({kafka.session_timeout_ms}): "
            "a worker would be taken for dead between two heartbeats."
        )


def _replicas(settings: Settings) -> Iterator[str]:
    kafka = settings.kafka
    if kafka.min_insync_replicas > kafka.replication_factor:
        yield (
            f"kafka.min_insync_replicas ({kafka.min_insync_replicas}) must be at most kafka.replication_factor ({kafka.replication_factor}): "
            "nothing could ever be written."
        )


def _servers(settings: Settings) -> Iterator[str]:
    for server in settings.kafka.bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            yield f'kafka.bootstrap_servers must be host:port, comma separated; "{server.strip()}" is not host:port.'
            return


def _security(settings: Settings) -> Iterator[str]:
    kafka = settings.kafka
    encrypted, logged_in = kafka.security_protocol.endswith("SSL"), kafka.security_protocol.startswith("SASL")
    if not encrypted:
        yield from _useless(kafka, ("ssl_ca_file", "ssl_certificate_file", "ssl_key_file", "ssl_key_password"), "SSL or SASL_SSL")
    if not logged_in:
        yield from _useless(kafka, ("sasl_username", "sasl_password"), "SASL_PLAINTEXT or SASL_SSL")
    for name in ("sasl_username", "sasl_password"):
        if logged_in and getattr(kafka, name) is None:
            yield f"kafka.{name} must be given with kafka.security_protocol = {kafka.security_protocol}."
    if (kafka.ssl_certificate_file is None) != (kafka.ssl_key_file is None):
        yield "kafka.ssl_certificate_file and kafka.ssl_key_file must be given together: mutual TLS needs both."
    if kafka.ssl_key_password is not None and kafka.ssl_key_file is None:
        yield "kafka.ssl_key_password is given without kafka.ssl_key_file, so there is nothing that it opens."


def _useless(kafka: KafkaSettings, names: tuple[str, ...], protocols: str) -> Iterator[str]:
    for name in names:
        if getattr(kafka, name) is not None:
            yield f"kafka.{name} is given, but kafka.security_protocol is {kafka.security_protocol}; it must be {protocols} for that to be used."
            return


def _topic_names(settings: Settings) -> Iterator[str]:
    kafka = settings.kafka
    for name, own in kafka.topics.items():
        if name not in TOPICS:
            yield f"kafka.topics.{name} is not a topic of the monitor; {nearest(name, TOPICS)}"
        elif not TOPIC_NAME.fullmatch(own):
            yield f'kafka.topics.{name} must be a name that Kafka takes (1 to 249 of a-z, A-Z, 0-9, ".", "_" and "-"); not "{own}".'
    seen: dict[str, str] = {}
    for name in TOPICS:
        own = kafka.topics.get(name, kafka.topic_prefix + name)
        if own in seen:
            yield f'kafka.topics gives "{own}" to both {seen[own]} and {name}; every topic needs a name of its own.'
        seen[own] = name


def _sizes(settings: Settings) -> Iterator[str]:
    intake = settings.intake
    if intake.dead_letter_value_bytes_max < intake.record_bytes_max:
        yield (
            f"intake.dead_letter_value_bytes_max ({intake.dead_letter_value_bytes_max}) must be at least intake.record_bytes_max "
            f"({intake.record_bytes_max}): a record that is small enough to be accepted must be kept whole when it is rejected."
        )


def _snapshots(settings: Settings) -> Iterator[str]:
    scheme = urlsplit(settings.core.snapshot_url).scheme
    if scheme not in SNAPSHOT_SCHEMES:
        yield f'core.snapshot_url must begin with one of {", ".join(name + "://" for name in SNAPSHOT_SCHEMES)}; not "{settings.core.snapshot_url}".'


def _thresholds(settings: Settings) -> Iterator[str]:
    thresholds = settings.policy.thresholds
    if thresholds.watch_p_value <= thresholds.hold_p_value:
        yield (
            f"policy.thresholds.watch_p_value ({thresholds.watch_p_value}) must be more than policy.thresholds.hold_p_value "
            f"({thresholds.hold_p_value}): what is held is odder than what is watched."
        )


def _assets(settings: Settings) -> Iterator[str]:
    policy = settings.policy
    if policy.base_currency not in policy.assets:
        yield f"policy.base_currency ({policy.base_currency}) must be one of policy.assets, so that its decimals are known."
        return
    decimals = policy.assets[policy.base_currency].decimals
    for table, name in BASE_AMOUNTS:
        amount = getattr(getattr(policy, table), name)
        if not isinstance(parse_amount(amount, decimals), int):
            yield f"policy.{table}.{name} ({amount}) is too large, or has more than the {decimals} decimals of {policy.base_currency}."


def _layers(settings: Settings) -> Iterator[str]:
    for field, why in layer_faults(settings.policy, nearest_asset):
        yield f"policy.layers.{field} {why}"


def nearest_asset(name: str, known: list[str]) -> str:
    """A hint as `nearest` gives it, but for names in capitals."""
    by_lower = {asset.lower(): asset for asset in known}
    hint = nearest(name, list(by_lower))
    for lower, asset in by_lower.items():
        if hint == f"did you mean {lower}?":
            return f"did you mean {asset}?"
    return "known are " + ", ".join(known) + "."


def _rules(settings: Settings) -> Iterator[str]:
    policy = settings.policy
    for name, rules in (("rules_off", policy.rules_off), ("rule_modes", policy.rule_modes)):
        for rule in rules:
            if rule not in RULES:
                yield f"policy.{name} names {rule}, which is no rule; {nearest(rule, list(RULES))}"
    for rule in policy.rules_off:
        if rule in policy.rule_modes:
            yield f"policy.rule_modes.{rule} sets the mode of a rule that policy.rules_off turns off; one of them must go."


def _detectors(settings: Settings) -> Iterator[str]:
    """Each is made once here: what river refuses, and what can't keep the contract at first sight, is refused before the worker starts."""
    policy = settings.policy
    parts = Parts(Lanes(BLOCK_OBSERVATIONS), policy.thresholds.young_address_ms)
    entries = []
    for index, detector in enumerate(policy.river):
        entries.append(configured(detector))
        try:
            entries[-1].make(parts)
        except ValueError as error:
            why = str(error).removeprefix(f"{detector.name}: ")
            yield f"policy.river.{index} ({detector.name}) can't be used: {why}" + ("" if why.endswith("?") else ".")
            return
    for name in policy.plug_ins:
        try:
            entries.append(installed(name))
        except ValueError as error:
            yield f"policy.plug_ins can't be used: {error}; installed are {', '.join(names()) or 'none'}."
            return
    for entry in entries:
        if entry.name in RULES:
            yield f"policy.river or policy.plug_ins calls a detector {entry.name}, which is the name of a rule; it needs one of its own."
    try:
        check_names(entries)
    except ValueError as error:
        yield f"policy.river and policy.plug_ins must have names of their own: {error}."


def _actors(settings: Settings) -> Iterator[str]:
    policy = settings.policy
    for name, actor in policy.actors.items():
        if public_key(actor.public_key) is None:
            yield f"policy.actors.{name}.public_key must be an Ed25519 public key, 32 bytes in base64."
        for role in actor.roles:
            if role not in policy.roles:
                yield f"policy.actors.{name}.roles names {role}, which is not in policy.roles; {nearest(role, list(policy.roles))}"
    for one, other in one_under_two_names(policy.actors):
        yield f"policy.actors.{other}.public_key is the key of policy.actors.{one} too: one person can't be two; every actor needs a key of its own."
    if policy.actors:
        yield from _second_persons(settings)
    if 0 < len(policy.actors) < policy.label_approvals:
        yield (
            f"policy.label_approvals ({policy.label_approvals}) must be at most the number of policy.actors ({len(policy.actors)}): "
            "so many people must agree on a label."
        )


def _second_persons(settings: Settings) -> Iterator[str]:
    """Whatever somebody may decide under four eyes needs two who may."""
    policy = settings.policy
    for command in dict.fromkeys((*policy.four_eyes.commands, *sorted(ALWAYS_TWO))):
        number = sum(may(policy, actor, command) for actor in policy.actors.values())
        if number == 1:
            yield f"policy.actors has only one person who may decide {command}, which needs two: give two persons a role that has it, or none."


def _audit(settings: Settings) -> Iterator[str]:
    for name, key in settings.audit.public_keys.items():
        if public_key(key) is None:
            yield f"audit.public_keys.{name} must be an Ed25519 public key, 32 bytes in base64."


def _waits(settings: Settings) -> Iterator[str]:
    policy, core = settings.policy, settings.core
    if policy.absence_grace_ms >= policy.blind_after_ms:
        yield (
            f"policy.absence_grace_ms ({policy.absence_grace_ms}) must be less than policy.blind_after_ms ({policy.blind_after_ms}): "
            "a source would be blind before absence could be judged."
        )
    for name in ("blind_after_ms", "tick_ahead_max_ms"):
        if core.tick_interval_ms >= getattr(policy, name):
            yield f"core.tick_interval_ms ({core.tick_interval_ms}) must be less than policy.{name} ({getattr(policy, name)})."


def _limits(settings: Settings) -> Iterator[str]:
    limits = settings.policy.limits
    if limits.event_ids < limits.withdrawals:
        yield (
            f"policy.limits.event_ids ({limits.event_ids}) must be at least policy.limits.withdrawals ({limits.withdrawals}): "
            "every withdrawal that is followed has an event."
        )


RELATIONS: tuple[Callable[[Settings], Iterator[str]], ...] = (
    _kafka_times, _replicas, _servers, _security, _topic_names, _sizes, _snapshots, _thresholds, _assets, _layers, _rules, _detectors, _actors, _audit,
    _waits, _limits,
)  # fmt: skip
