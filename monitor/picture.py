"""The picture that the core shows of itself, drawn from its state between two entries. Reads only; called by `monitor.engine`."""

from collections import Counter

from detectors.contract import BLOCK_OBSERVATIONS, Fallible
from monitor.budget import ASKED_MAX, OVERFLOW_MAX
from monitor.coverage import asset_figures, figures, layer_figures, risk_figures
from monitor.doubts import DOUBTS_MAX
from monitor.gauges import DetectorState, DetectorUse, Gauges, SourceUse, TableUse
from monitor.held import CREDITS_MAX
from monitor.policy import PROVIDERS_MAX
from monitor.sources import Source
from monitor.state import State
from monitor.trail import BLOCK_ENTRIES


def picture(state: State, journal_id: str, next_offset: int) -> Gauges:
    """All totals, limits and figures of the state."""
    policy, totals, sources, marks = state.policy, state.totals, state.sources, state.marks
    return Gauges(
        journal_id=journal_id,
        term=state.term,
        next_offset=next_offset,
        time_ms=state.clock.now_ms,
        base_currency=policy.base_currency,
        base_decimals=marks.decimals(policy.base_currency),
        entries=dict(totals.entries),
        verdicts={str(kind): number for kind, number in totals.verdicts.items()},
        rejected={topic: dict(reasons) for topic, reasons in totals.rejected.items()},
        repeats=sources.repeats + state.event_ids.repeats,
        conflicts=state.event_ids.conflicts,
        holes=sources.holes,
        gaps=sources.gaps,
        ticks_refused=totals.ticks_refused,
        ticks_ignored=totals.ticks_ignored,
        quarantined=totals.quarantined,
        marks={str(stage): number for stage, number in marks.stages.items()},
        incidents={str(stage): number for stage, number in state.incidents.stages().items()},
        clocks_missed={str(target): number for target, number in state.incidents.counts.missed.items()},
        alerts=dict(state.incidents.counts.alerts),
        reviews={str(review): number for review, number in state.scoring.reviews.counts.items()},
        reviews_left=state.scoring.reviews.left(policy.budget),
        decisions=dict(totals.decisions),
        findings_snoozed=state.snoozes.muted,
        pages_over_budget=state.incidents.counts.over_budget,
        pages_put_off=state.incidents.storm.number,
        findings=dict(totals.findings),
        tables=_tables(state),
        evictions=_evictions(state),
        sources={name: _source(source) for name, source in sources.by_name.items()},
        detectors=_detectors(state),
        coverage=figures(marks, state.clock.now_ms),
        layers=layer_figures(marks),
        assets=asset_figures(state),
        risk=risk_figures(state),
        levels=dict(state.levels.told),
        providers=dict(Counter(provider.standing for provider in state.providers.values())),
    )


def _source(source: Source) -> SourceUse:
    if source.state == "open":
        return SourceUse(max(source.next, 0), source.log_end, "blind" if source.blind else "reading")
    return SourceUse(source.next, source.log_end, source.state)


def _tables(state: State) -> dict[str, TableUse]:
    limits = state.policy.limits
    use = {f"{kind}": TableUse(len(table.rows), table.limit) for kind, table in state.scoring.tables.items()}
    use |= {name: TableUse(*pair) for name, pair in state.scoring.panel.use().items()}
    use["withdrawal"] = TableUse(len(state.withdrawals.by_id), limits.withdrawals)
    use["event_id"] = TableUse(len(state.event_ids), limits.event_ids)
    use["outflow_waiting"] = TableUse(len(state.outflows.waiting), limits.outflows_waiting)
    use["incident"] = TableUse(len(state.incidents.by_id), limits.incidents)
    use["incident_key"] = TableUse(len(state.incidents.keys.by_key), limits.incident_keys)
    use["incident_name"] = TableUse(state.incidents.names, limits.incident_names)
    compensated = state.marks.stages["compensated"]
    use["mark"] = TableUse(len(state.marks.by_id) - compensated, limits.marks)
    use["mark_compensated"] = TableUse(compensated, limits.marks_compensated)
    use["layer_event"] = TableUse(len(state.marks.ledger.uses), (limits.marks + limits.marks_compensated) * max(1, len(state.marks.ledger.layers)))
    use["unread_withdrawal"] = TableUse(len(state.withdrawals.unread), limits.retries)
    use["retry"] = TableUse(len(state.retried), limits.retries)
    use["approval"] = TableUse(len(state.approvals.by_event), limits.approvals)
    use["decision_id"] = TableUse(len(state.decision_ids.by_id), limits.decision_ids)
    use["snooze"] = TableUse(len(state.snoozes.by_key), limits.snoozes)
    use["label"] = TableUse(len(state.labels.by_id), limits.labels)
    use["review_asked"] = TableUse(len(state.scoring.reviews.asked), ASKED_MAX)
    use["review_overflow"] = TableUse(len(state.scoring.reviews.overflow), OVERFLOW_MAX)
    use["wallet_balance"] = TableUse(len(state.held.balances), limits.wallets)
    use["batch_credit"] = TableUse(state.held.credits_kept, CREDITS_MAX)
    use["security_change"] = TableUse(len(state.security.changed_at_ms), limits.security_changes)
    use["repeated"] = TableUse(len(state.repeated), limits.repeated)
    use["holding"] = TableUse(len(state.holdings.by_key), limits.holdings)
    use["posting"] = TableUse(len(state.postings), limits.postings)
    use["output"] = TableUse(len(state.outputs), limits.outputs)
    use["wallet_fact"] = TableUse(len(state.wallets.by_id), limits.wallets)
    use["provider_registry"] = TableUse(len(state.providers), PROVIDERS_MAX)
    use["provider_doubted"] = TableUse(len(state.doubted_providers), PROVIDERS_MAX)
    use["doubt"] = TableUse(len(state.doubts.waiting), DOUBTS_MAX)
    use["audit_block"] = TableUse(len(state.trail.open), BLOCK_ENTRIES)
    return use


def _evictions(state: State) -> dict[str, int]:
    evicted = {kind: table.evicted for kind, table in state.scoring.tables.items()}
    evicted["withdrawal"] = state.withdrawals.evicted
    evicted |= state.scoring.panel.evicted()
    evicted["label"] = state.labels.evicted
    evicted["mark"] = state.marks.forgotten
    evicted["incident"] = state.incidents.counts.evicted
    evicted["incident_key"] = state.incidents.keys.evicted
    evicted["security_change"] = state.security.evicted
    evicted["holding"] = state.holdings.evicted
    evicted["wallet_fact"] = state.wallets.unfollowed
    evicted["batch_credit"] = state.held.credits_dropped
    evicted["doubt"] = state.doubts.dropped
    return evicted


def _detectors(state: State) -> dict[str, DetectorUse]:
    """Every detector sees every observation; which are warm is known from the newest run."""
    scoring = state.scoring
    observations = (scoring.blocks + 1) * BLOCK_OBSERVATIONS - scoring.panel.room
    use = {}
    for detector in scoring.panel.detectors:
        warm: DetectorState = "READY" if scoring.ready.get(detector.name, False) else "WARMING"
        beside = (detector.restarts, detector.state_bytes) if isinstance(detector, Fallible) else (0, 0)
        use[detector.name] = DetectorUse("OFF" if detector.name in scoring.off else warm, observations, scoring.last_run_ms, *beside)
    return use
