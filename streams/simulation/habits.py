"""What customers do apart from withdrawing: they log in, change phones, secrets and keys, travel. Called by `exchange` before a request or for itself.

| what | distribution | source |
| --- | --- | --- |
| logins without a withdrawal | 1 for 4 requests; of them 8 % fail, 1.2 % change the password, .3 % the mail address, .5 % the second factor | assumed |
| second factor changed | its owner withdraws a day (20 to 30 hours) later, as exchanges make customers wait | assumed |
| new phone | 1 request in 200 of people: device added, 3 in 10 enrol their second factor anew | assumed |
| travel | 1 request in 300 begins 3 to 14 days abroad, on a hotel's or a foreign carrier's network | assumed |
| another network at home | 1 request in 250: providers give out new addresses, people move | assumed |
| API keys renewed | 1 request in 700 by API, monthly for a market maker at 2 records a second | assumed |
"""

import random
from collections.abc import Callable

from streams.simulation.population import Account, Population
from streams.simulation.records import Agenda, Value

NEW_PHONE, TRAVEL, NEW_NETWORK, NEW_KEY = 1 / 200, 1 / 300, 1 / 250, 1 / 700
ENROLS_AGAIN = 0.3
DAY_MS = 86_400_000
ABROAD = ("US", "TW", "KR", "TH", "SG", "FR", "IT", "AU", "JP", "VN")
FOREIGN_NETWORKS = 40
"""Networks of each country abroad that travellers use."""

Later = Callable[[Account, int], None]
"""Let an account withdraw at that time."""


class Habits:
    """Account events, each told at its time."""

    def __init__(self, agenda: Agenda, rng: random.Random, population: Population, later: Later) -> None:
        self._agenda = agenda
        self._rng = rng
        self._population = population
        self._later = later

    def tell(self, account: Account, action: str, at_ms: int, **facts: str) -> None:
        """One account event, from where the account is and with its device."""
        channel = "app" if "app" in account.kind.channels else "web"
        ip, country = self._population.where(account, channel, at_ms)
        event: Value = {"account_id": account.account_id, "action": action, "device_id": account.device_id, "ip": ip, "country": country}
        self._agenda.tell("account-events", account.account_id, at_ms, event | facts)

    def look_in(self, account: Account, at_ms: int) -> None:
        """Somebody logs in and withdraws nothing; seldom a login fails or a secret is changed."""
        share = self._rng.random()
        if share < 0.90:
            self.tell(account, "login", at_ms)
        elif share < 0.98:
            self.tell(account, "login_failed", at_ms)
        elif share < 0.992:
            self.tell(account, "password_changed", at_ms)
        elif share < 0.995:
            self.tell(account, "email_changed", at_ms)
        else:
            self.change_second_factor(account, at_ms)

    def change_second_factor(self, account: Account, at_ms: int) -> None:
        """The second factor is enrolled anew; its owner waits for a day, then withdraws."""
        self.tell(account, "second_factor_changed", at_ms)
        account.second_factor_changed_at_ms = at_ms
        self._later(account, at_ms + self._rng.randrange(20 * 3_600_000, 30 * 3_600_000))

    def before(self, account: Account, channel: str, at_ms: int, *, logs_in: bool) -> int:
        """What comes before a request; returns when the account is ready for it."""
        rng = self._rng
        if channel == "api":
            if rng.random() < NEW_KEY:
                account.api_key_id = f"key-{rng.getrandbits(48):012x}"
                self.tell(account, "api_key_created", at_ms, api_key_id=account.api_key_id)
                at_ms += rng.randrange(60_000, 600_000)
            return at_ms
        happens = rng.random()
        if happens < NEW_PHONE:
            account.device_id = f"device-{rng.getrandbits(64):016x}"
            self.tell(account, "device_added", at_ms)
            if rng.random() < ENROLS_AGAIN:
                self.change_second_factor(account, at_ms + rng.randrange(20_000, 200_000))
            logs_in = True
        elif happens < NEW_PHONE + TRAVEL:
            country = rng.choice([name for name in ABROAD if name != account.country])
            prefix = f"172.{16 + ABROAD.index(country)}.{rng.randrange(FOREIGN_NETWORKS)}."
            account.travel = at_ms + rng.randrange(3 * DAY_MS, 14 * DAY_MS), country, prefix
            logs_in = True
        elif happens < NEW_PHONE + TRAVEL + NEW_NETWORK:
            account.ip_prefix = f"10.{rng.randrange(256)}.{rng.randrange(256)}."
        if logs_in:
            self.tell(account, "login", at_ms)
            at_ms += rng.randrange(5_000, 60_000)
        return at_ms
