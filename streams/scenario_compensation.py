"""Runs an incident from its first event to the compensation file: played, handled by its people, divided, signed by two, written.

The file's totals are compared with what truly left, which the simulation knows. Called by the command line and the tests.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from monitor.contracts.compensation import SignOff
from monitor.money import print_amount
from monitor.price_rules import PriceRule, parse_rule
from streams.compensation import compensation
from streams.compensation_files import Made, files, made, signed, write
from streams.dossier import Dossier, Folded
from streams.incident_report import files as report_files
from streams.scenario_ground import Ground, History, Progress, make_ground
from streams.scenario_people import PEOPLE, People, customers_holdings, key_of, with_people
from streams.scenario_run import Live, Loop
from streams.settings import Settings
from streams.simulation.directory import minor_of
from streams.simulation.phases import Aftermath, Scenario
from streams.simulation.scenario import ScenarioRefusedError, asset_of
from streams.simulation.world import ASSETS, DESK_ACCOUNT
from streams.words import grouped

_DECIMALS = {row.asset: row.decimals for row in ASSETS}
ASSUMED = Aftermath(confidence="assumed")


class Compensated(NamedTuple):
    """What one run came to. `lost` and `back` are the truth by asset, in units; `wrong` says where the files differ from it."""

    scenario: str
    seed: int
    files: dict[str, Made]
    folded: Folded
    lost: dict[str, str]
    back: dict[str, str]
    uncovered_base_amount: str
    wrong: list[str]


def people_ground(settings: Settings, history: History, seed: int, progress: Progress | None = None) -> Ground:
    """A history whose policy knows the people of the run."""
    settings = msgspec.structs.replace(settings, policy=with_people(settings.policy, seed))
    return make_ground(settings, history, seed, progress)


def to_compensation(ground: Ground, scenario: Scenario, *, obey: bool = False, customers: int | None = None) -> Compensated:
    """One incident, from its first event to its files; `customers` instead of as many as the facts have.

    Raises ScenarioRefusedError if it can't be played, if nothing was lost, or if the monitor refuses its people.
    """
    aftermath = scenario.aftermath or ASSUMED
    dossier = Dossier()
    loop = Loop(ground, scenario, obey=obey, dossier=dossier)
    _tell_holdings(loop, scenario, aftermath.customers if customers is None else customers, ground.seed)
    first = loop.engine.next_offset - len(loop.kept)
    live = loop.run()
    lost = {taking.name: taking.part for taking in live.takings if not taking.stopped}
    if not lost:
        raise ScenarioRefusedError(f"Scenario '{scenario.id}': holds stopped all of it, nobody has to be paid back.")
    people = People(loop, ground.seed, lost)
    people.report()
    incidents = people.incidents()
    for incident_id in incidents:
        people.handle(incident_id, aftermath, scenario.cause)
    kept = loop.kept
    folded = Folded(dossier, loop.engine, lambda: enumerate(kept, start=first))
    rule = parse_rule(aftermath.price_rule)
    if not isinstance(rule, PriceRule):
        raise ScenarioRefusedError(f"Scenario '{scenario.id}': {rule}.")
    found = {incident_id: signed_by_people(folded, incident_id, rule, ground.seed) for incident_id in incidents}
    rows = [row for row in loop.watch.coverage if row.marked != "0"]
    uncovered = max((int(row.uncovered) for row in rows), default=0)
    truth, back = _truth(live), {part.asset: part.amount or "0" for part in aftermath.recovered}
    return Compensated(scenario.id, ground.seed, found, folded, truth, back, str(uncovered), list(_wrong(found, truth, back)))


def _tell_holdings(loop: Loop, scenario: Scenario, customers: int, seed: int) -> None:
    """The exchange's daily record of customers' quantities, of the assets that will be lost, before anything of it happens."""
    assets = {asset_of(phase) for phase in scenario.phases if getattr(phase, "loss", False)}
    assets |= {lost.asset for lost in (() if scenario.loss is None else scenario.loss.assets)}
    at_ms = loop.journal.clock_ms
    batch: list[bytes] = []
    for record in customers_holdings((asset for asset in assets if asset is not None), customers, at_ms, f"{scenario.id}.{at_ms:x}", seed):
        batch += loop.journal.take(record)
        if len(batch) >= 5_000:
            loop.fold(batch)
            batch = []
    if batch:
        loop.fold(batch)


def signed_by_people(folded: Folded, incident_id: str, rule: PriceRule, seed: int) -> Made:
    """The file of one incident, signed by the run's people; what was lost from the desk's account is everybody's."""
    policy = folded.engine.state.policy
    statement = compensation(folded, incident_id, rule, (DESK_ACCOUNT,))
    draft = made(statement, (), policy)
    sign_offs = [msgspec.json.decode(signed(incident_id, draft.sha256, name, key_of(name, seed)), type=SignOff) for name in PEOPLE]
    return made(statement, sign_offs, policy)


def _truth(live: Live) -> dict[str, str]:
    """What truly left, by asset."""
    sums: Counter[str] = Counter()
    for taking in live.takings:
        if not taking.stopped:
            sums[taking.part.asset] += taking.part.amount_minor
    return {asset: print_amount(minor, _DECIMALS[asset]) for asset, minor in sorted(sums.items())}


def _wrong(found: dict[str, Made], lost: dict[str, str], back: dict[str, str]) -> Iterator[str]:
    """Where the files and the truth differ by one unit or more."""
    paid: Counter[str] = Counter()
    for file in found.values():
        for total in file.statement.assets:
            paid[total.asset] += minor_of(total.asset, total.quantity)
    for asset in sorted({*lost, *paid}):
        due = minor_of(asset, lost.get(asset, "0")) - minor_of(asset, back.get(asset, "0"))
        if due != paid[asset]:
            yield f"{print_amount(due, _DECIMALS[asset])} {asset} are to be compensated, the files have {print_amount(paid[asset], _DECIMALS[asset])}"
    yield from (f"incident {name} is {file.status}" for name, file in found.items() if file.draft)


def write_all(run: Compensated, out: Path) -> None:
    """The files of a run, a directory for each of the monitor's incidents. Raises RefusedError."""
    for incident_id, file in run.files.items():
        write(out / run.scenario / incident_id, [*files(file), *report_files(run.folded, incident_id, file)])


def text(run: Compensated) -> Iterator[str]:
    """A run for people."""
    yield f"{run.scenario}, seed {run.seed}: lost {', '.join(f'{grouped(amount)} {asset}' for asset, amount in run.lost.items())}"
    if run.back:
        yield f"  came back: {', '.join(f'{grouped(amount)} {asset}' for asset, amount in run.back.items())}"
    for incident_id, file in run.files.items():
        totals = file.statement.totals
        yield f"  {incident_id}: {file.status}, {file.statement.price_rule}; {totals.customers:,} customer(s) {grouped(totals.customers_base_amount)} JPY,"
        yield f"    own {grouped(totals.own_base_amount)}, not attributed {grouped(totals.not_attributed_base_amount)}, statement {file.sha256[:16]}"
    yield f"  the reserve: {grouped(run.uncovered_base_amount)} JPY were carried by no layer at the worst moment"
    yield from (f"  WRONG: {wrong}" for wrong in run.wrong)
