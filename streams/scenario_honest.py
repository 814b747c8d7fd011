"""Days of honest traffic with everything that looks like an attack and isn't: what paged, and how many reviews it cost.

The generator's standard month of episodes, folded as live; no incident. Called by the command line.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from monitor.contracts.outputs import Alert, Verdict
from streams.scenario_ground import DAY_MS, Folding, History, Progress
from streams.scenario_watch import Watch
from streams.settings import Settings
from streams.simulation.episodes import Episode
from streams.simulation.exchange import Exchange
from streams.words import moment

SHARE_STEPS = 20_000
WEEK_DAYS = 7
SHOWN_MAX = 40


class HonestPage(msgspec.Struct, frozen=True):
    """A page that nobody should have got, and what went on then."""

    at_ms: int
    title: str
    summary: str
    rules: tuple[str, ...]
    during: tuple[str, ...]


class HonestMonth(msgspec.Struct, frozen=True, kw_only=True):
    """One seed's days. Days of the warm-up aren't counted in the means; `reviews` and `pages` have a row for every day."""

    seed: int
    days: int
    warm_days: int
    records: int
    withdrawals_odd: int
    joined: int
    over_budget: int
    pages_by_day: list[int]
    reviews_by_day: list[int]
    reviews_by_week: list[float]
    holds: int
    watches: int
    unscored: int
    notices: int
    rules: dict[str, int]
    pages: list[HonestPage]

    @property
    def pages_a_day(self) -> float:
        """Mean after the warm-up."""
        counted = self.pages_by_day[self.warm_days :]
        return sum(counted) / max(len(counted), 1)

    @property
    def reviews_a_day(self) -> float:
        """Mean after the warm-up."""
        counted = self.reviews_by_day[self.warm_days :]
        return sum(counted) / max(len(counted), 1)


def fold_honest(
    settings: Settings, history: History, seed: int, episodes: tuple[Episode, ...], warm_days: int, progress: Progress | None
) -> HonestMonth:
    """Fold a seed's honest days; a day is 24 hours from the start."""
    settings = msgspec.structs.replace(settings, policy=msgspec.structs.replace(settings.policy, mode="enforce"))
    watch = Watch()
    folding = Folding(settings, watch)
    count = 0
    for record in Exchange(history.parameters(seed, episodes)).records():
        if record.timestamp_ms >= history.end_ms:
            break
        folding.take(record)
        count += 1
        if progress is not None and count % SHARE_STEPS == 0:
            progress(count, (record.timestamp_ms - history.start_ms) / (history.end_ms - history.start_ms))
    folding.fold()
    return _month(watch, history, seed, episodes, warm_days, count)


def _month(watch: Watch, history: History, seed: int, episodes: tuple[Episode, ...], warm_days: int, count: int) -> HonestMonth:
    days = max(1, round(history.days))
    reviews, odd = watch.reviews(), watch.odd()
    reviews_by_day = by_day([verdict.decided_at_ms for verdict in reviews.values()], history.start_ms, days)
    kinds = Counter(verdict.verdict for verdict in odd.values())
    return HonestMonth(
        seed=seed,
        days=days,
        warm_days=min(warm_days, days - 1),
        records=count,
        withdrawals_odd=len(odd),
        joined=sum(verdict.review == "joined" for verdict in odd.values()),
        over_budget=sum(verdict.review == "over_budget" for verdict in odd.values()),
        pages_by_day=by_day([page.decided_at_ms for page in watch.pages], history.start_ms, days),
        reviews_by_day=reviews_by_day,
        reviews_by_week=by_week(reviews_by_day[min(warm_days, days - 1) :]),
        holds=kinds["HOLD"],
        watches=kinds["WATCH"],
        unscored=kinds["UNSCORED"],
        notices=sum(alert.kind == "notice" for alert in watch.alerts),
        rules=_rules(odd.values()),
        pages=[_page(page, watch, history, episodes) for page in watch.pages],
    )


def by_day(times_ms: Sequence[int], start_ms: int, days: int) -> list[int]:
    """How many on each day; what came after the last counts on the last."""
    counts = [0] * days
    for at_ms in times_ms:
        counts[min(max((at_ms - start_ms) // DAY_MS, 0), days - 1)] += 1
    return counts


def by_week(by_day: Sequence[int]) -> list[float]:
    """Mean a day of each whole week; the whole if there is none."""
    weeks = [by_day[index : index + WEEK_DAYS] for index in range(0, len(by_day) - WEEK_DAYS + 1, WEEK_DAYS)] or [by_day]
    return [sum(week) / max(len(week), 1) for week in weeks]


def _rules(verdicts: Iterable[Verdict]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for verdict in verdicts:
        counts.update({reason.rule for reason in verdict.reasons})
    return dict(counts.most_common())


def _page(page: Alert, watch: Watch, history: History, episodes: Sequence[Episode]) -> HonestPage:
    rules: tuple[str, ...] = ()
    for incident in watch.incidents:
        if incident.incident_id == page.incident_id and incident.decided_at_ms <= page.decided_at_ms:
            rules = incident.rules
    seconds = (page.decided_at_ms - history.start_ms) / 1_000
    during = tuple(
        f"{episode.kind}{f' of {episode.asset}' if episode.asset else ''}"
        for episode in episodes
        if episode.start_seconds <= seconds < episode.start_seconds + episode.seconds
    )
    return HonestPage(page.decided_at_ms, page.title, page.summary, rules, during)


def text(months: Sequence[HonestMonth], aim: float) -> Iterator[str]:
    """All seeds for people: pages first, what paged and why, then reviews against the aim."""
    days = sum(month.days - month.warm_days for month in months)
    pages = sum(sum(month.pages_by_day[month.warm_days :]) for month in months)
    reviews = sum(sum(month.reviews_by_day[month.warm_days :]) for month in months)
    weeks = [week for month in months for week in month.reviews_by_week]
    yield f"Pages    {pages / max(days, 1):.2f} a day ({pages} in {days} days of {len(months)} seed(s), after {months[0].warm_days} days of warm-up); at most 1"
    yield f"Reviews  {reviews / max(days, 1):.1f} a day, aim {aim:g}; weeks from {min(weeks):.1f} to {max(weeks):.1f} a day"
    for month in months:
        yield ""
        kinds = f"WATCH {month.watches:,}, HOLD {month.holds:,}, UNSCORED {month.unscored:,}"
        yield f"Seed {month.seed}: {month.records:,} records in {month.days} days; {kinds}; notices {month.notices:,}"
        yield f"  reviews over the budget {month.over_budget:,}, joined to one that was asked for {month.joined:,}"
        yield f"  reviews by day    {' '.join(map(str, month.reviews_by_day))}"
        yield f"  pages by day      {' '.join(map(str, month.pages_by_day))}"
        yield f"  reasons           {', '.join(f'{rule} {count:,}' for rule, count in month.rules.items()) or 'none'}"
        for page in month.pages[:SHOWN_MAX]:
            during = f" during {', '.join(page.during)}" if page.during else ""
            yield f"  page {moment(page.at_ms)}{during}: {page.title} ({', '.join(page.rules)}): {page.summary}"
        if len(month.pages) > SHOWN_MAX:
            yield f"  and {len(month.pages) - SHOWN_MAX} more pages"
