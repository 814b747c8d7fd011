"""The simulated exchange's fixed world, as tables: assets, wallets, providers, reserve layers, kinds of accounts, hours and days.

No behaviour here. Read by the other files of this package; names are synthetic. No exchange publishes such figures: where no source is
given a figure is assumed, an order of magnitude of a middle-sized Japanese exchange in 2024.

| what | distribution | source |
| --- | --- | --- |
| price of BTC | 10.7 million JPY at the start | public figure of 2024-05-31: 48.2 billion JPY for 4,502.9 BTC |
| other prices, shares of requests, fees | this table | assumed, near those of mid-2024 |
| change of prices | geometric random walk, `daily_volatility` a day | assumed: 40 to 120 % a year |
| time to confirmation | uniform, `confirm_seconds` | block intervals of the networks (10 min, 12 s, 4 s, 0.4 s, 2.5 min, 1 min) times usual numbers of blocks |
| what wallets hold | `opening` | large enough for the public incidents: 46,000 BTC in all, 526 million XEM, 401,400 ETH cold; a quarter of it hot, more than the 5 % that Japan allows now |
| amounts | lognormal by kind; 0.6 of `sigma` (as variances .36) between accounts, the rest within | assumed; heavy tails |
| hours of the day | `HOURS` by profile, in the account's own time zone | assumed: evenings, office hours, round the clock |
| days of the week | `WEEK` by profile | assumed: offices rest at week-ends |
| pay days | the 25th and the last day of a month and the day after each, for `PAY_DAY` times the requests | the 25th is Japan's usual pay day; sizes assumed |
"""

from typing import Literal, NamedTuple

BASE_CURRENCY = "JPY"
DESK_ACCOUNT = "desk-treasury"
"""The exchange's own desk: moves customers' assets between wallets through the withdrawal path, as at the incidents of 2024 and 2025."""


class SimulatedAsset(NamedTuple):
    """One asset: `price` in JPY, `step_decimals` = finest amounts that people type, `confirm_seconds` = typical time to confirmation.

    With `batch_seconds` all that is signed within such a window is paid by one transaction.
    """

    asset: str
    network: str
    decimals: int
    step_decimals: int
    price: int
    daily_volatility: float
    share: float
    fee: str
    confirm_seconds: tuple[float, float]
    address_prefix: str
    address_digits: int
    tagged: bool = False
    batch_seconds: int = 0


ASSETS: tuple[SimulatedAsset, ...] = (
    SimulatedAsset("BTC", "bitcoin", 8, 6, 10_700_000, 0.027, 0.310, "0.00015", (600, 2_400), "bc1q", 38, batch_seconds=20),
    SimulatedAsset("ETH", "ethereum", 18, 5, 590_000, 0.034, 0.230, "0.0012", (150, 240), "0x", 40),
    SimulatedAsset("XRP", "xrpl", 6, 2, 82, 0.038, 0.220, "0.15", (4, 8), "r", 32, tagged=True),
    SimulatedAsset("SOL", "solana", 9, 3, 26_000, 0.045, 0.100, "0.01", (10, 25), "So", 42),
    SimulatedAsset("LTC", "litecoin", 8, 4, 13_000, 0.036, 0.040, "0.001", (300, 1_200), "ltc1q", 38),
    SimulatedAsset("BCH", "bitcoin-cash", 8, 5, 72_000, 0.040, 0.035, "0.001", (600, 3_600), "q", 41),
    SimulatedAsset("XEM", "nem", 6, 1, 6, 0.050, 0.030, "0.5", (60, 180), "N", 39, tagged=True),
    SimulatedAsset("MONA", "monacoin", 8, 2, 60, 0.045, 0.020, "0.02", (180, 600), "mona1q", 38),
    SimulatedAsset("stETH", "ethereum", 18, 5, 589_000, 0.034, 0.010, "0.002", (150, 240), "0x", 40),
    SimulatedAsset("mETH", "ethereum", 18, 5, 610_000, 0.034, 0.003, "0.002", (150, 240), "0x", 40),
    SimulatedAsset("cmETH", "ethereum", 18, 5, 610_000, 0.034, 0.002, "0.002", (150, 240), "0x", 40),
)


class SimulatedWallet(NamedTuple):
    """One wallet: `opening` in units of the asset; hot wallets pay customers, the first cold one of an asset fills them up."""

    wallet_id: str
    asset: str
    temperature: str
    provider_id: str
    opening: str
    address: str


WALLETS: tuple[SimulatedWallet, ...] = (
    SimulatedWallet("wallet-btc-hot", "BTC", "hot", "provider-signing", "7500", "bc1q1346466c8b091e62576a135e34f896e537d545"),
    SimulatedWallet("wallet-btc-cold", "BTC", "cold", "provider-wallet-software", "38500", "bc1q44c5c9f1caaf7a7e9d53648612601ba3a0f7a3"),
    SimulatedWallet("wallet-eth-hot", "ETH", "hot", "provider-signing", "345000", "0xa9ea50697de1f040990c2a40f93af1ea333e7692"),
    SimulatedWallet("wallet-eth-cold", "ETH", "cold", "provider-custody", "401400", "0xaa787f0da37787a10cecfadd52aad4910006d7fb"),
    SimulatedWallet("wallet-xrp-hot", "XRP", "hot", "provider-signing", "45000000", "raa4b6866ffaa3c083025942ade5d9552"),
    SimulatedWallet("wallet-xrp-cold", "XRP", "cold", "provider-custody", "900000000", "r0c6bbb53c2e3c1176008dbf06c854b95"),
    SimulatedWallet("wallet-sol-hot", "SOL", "hot", "provider-signing", "60000", "Sodd18012376a5bac08f08bbc1d6cdae9a490eef92f0"),
    SimulatedWallet("wallet-sol-cold", "SOL", "cold", "provider-custody", "1200000", "So8bcc735178479617a73ee8259352262430b1566e7b"),
    SimulatedWallet("wallet-sol-staking", "SOL", "cold", "provider-staking", "195000", "So8d81fa970eef223058ab3fd8b1661246a421ff6527"),
    SimulatedWallet("wallet-ltc-hot", "LTC", "hot", "provider-signing", "60000", "ltc1qafae733d193df6ea981ecc469b5ea2011ffb32"),
    SimulatedWallet("wallet-ltc-cold", "LTC", "cold", "provider-custody", "600000", "ltc1q38388315485b2c2b9845b5f493a841bdc44ba9"),
    SimulatedWallet("wallet-bch-hot", "BCH", "hot", "provider-signing", "45000", "q7218f556fbfaf87c61c0f2bb2273daba317a5ae52"),
    SimulatedWallet("wallet-bch-cold", "BCH", "cold", "provider-custody", "150000", "q1f9bf3ef7fbc3496e0b75466e63106e6f14bc323b"),
    SimulatedWallet("wallet-xem-hot", "XEM", "hot", "provider-signing", "526300000", "Nd112f9871900486ccd3728e54519efb6529cf4f"),
    SimulatedWallet("wallet-xem-cold", "XEM", "cold", "provider-custody", "200000000", "N24c9fa111050030f32490fbea931964264156a0"),
    SimulatedWallet("wallet-mona-hot", "MONA", "hot", "provider-signing", "6500000", "mona1q4fb581d09db4ea2c4116093858111e7277393b"),
    SimulatedWallet("wallet-mona-cold", "MONA", "cold", "provider-custody", "20000000", "mona1q0eff9c157a82af96edda0ea8243b58c7fd3fc7"),
    SimulatedWallet("wallet-steth-hot", "stETH", "hot", "provider-signing", "6000", "0x1b456c15b6cd03eef0fdd71c6e5ea198ad0a7f95"),
    SimulatedWallet("wallet-steth-cold", "stETH", "cold", "provider-custody", "90500", "0x4a1e3c7c4234fef27a03a7dc182cf5c6cd731225"),
    SimulatedWallet("wallet-meth-hot", "mETH", "hot", "provider-signing", "2000", "0xcc1d19cff64e94cd98b8e3724132466b6d69529c"),
    SimulatedWallet("wallet-meth-cold", "mETH", "cold", "provider-custody", "8100", "0xc9c571e5314054ebf4fd333b7c39e59a84e0887f"),
    SimulatedWallet("wallet-cmeth-hot", "cmETH", "hot", "provider-signing", "2000", "0x9b99726e47aaf13e3fada59f2d712d680fe45fa9"),
    SimulatedWallet("wallet-cmeth-cold", "cmETH", "cold", "provider-custody", "15100", "0x903a30ce7f3fbca713c3ba6b2926c0b1b8358f9f"),
)


class SimulatedProvider(NamedTuple):
    """One custodian or system provider; `signs`: for the wallets that it serves."""

    provider_id: str
    name: str
    role: str
    standing: str
    registration_number: str | None
    signs: bool


PROVIDERS: tuple[SimulatedProvider, ...] = (
    SimulatedProvider("provider-signing", "Example Signing KK", "signing", "notified", None, signs=True),
    SimulatedProvider("provider-wallet-software", "Example Wallet Software KK", "wallet_software", "registered", "EX-0001", signs=False),
    SimulatedProvider("provider-custody", "Example Custody KK", "custodian", "registered", "EX-0002", signs=True),
    SimulatedProvider("provider-staking", "Example Staking KK", "staking", "registered", "EX-0003", signs=True),
)


class SimulatedLayer(NamedTuple):
    """One layer of the reserve, funded once at the start; the policy of `streams.settings` has the same layers, in this order."""

    layer_id: str
    unit: str
    funded: str


LAYERS: tuple[SimulatedLayer, ...] = (
    SimulatedLayer("guarantee-btc", "BTC", "500"),
    SimulatedLayer("guarantee-eth", "ETH", "6000"),
    SimulatedLayer("liability-reserve", BASE_CURRENCY, "50000000000"),
)

Profile = Literal["leisure", "office", "flat"]


class AccountKind(NamedTuple):
    """One kind of account. Shares add up to 1; amounts are lognormal: `median_jpy` and `sigma` of the logarithm.

    `to_exchange`: share paid to addresses of other exchanges and payment processors, which many customers use; `new_address`: share to an
    address never used by this account before; `login`: share of requests with a login shortly before; `utc_offset_hours`: where they live.
    """

    kind: str
    share_of_accounts: float
    share_of_requests: float
    median_jpy: float
    sigma: float
    to_exchange: float
    new_address: float
    login: float
    channels: tuple[str, ...]
    round_amounts: float
    profile: Profile = "leisure"
    utc_offset_hours: int = 9


ACCOUNT_KINDS: tuple[AccountKind, ...] = (
    AccountKind("saver", 0.74, 0.42, 55_000, 1.1, 0.30, 0.05, 0.60, ("app", "app", "web"), 0.35),
    AccountKind("trader", 0.17, 0.27, 220_000, 1.2, 0.50, 0.03, 0.50, ("web", "app", "web"), 0.25),
    AccountKind("wealthy", 0.02, 0.03, 4_000_000, 1.0, 0.20, 0.05, 0.70, ("web",), 0.50),
    AccountKind("business", 0.015, 0.06, 1_200_000, 0.9, 0.15, 0.06, 0.30, ("web", "api"), 0.10, "office"),
    AccountKind("market-maker", 0.005, 0.12, 2_500_000, 0.7, 0.90, 0.002, 0.02, ("api",), 0.60, "flat"),
    AccountKind("in-europe", 0.025, 0.05, 100_000, 1.2, 0.40, 0.05, 0.60, ("app", "web"), 0.30, "leisure", 1),
    AccountKind("in-america", 0.025, 0.05, 100_000, 1.2, 0.40, 0.05, 0.60, ("app", "web"), 0.30, "leisure", -5),
)
COUNTRIES: dict[str, tuple[str, ...]] = {"in-europe": ("DE", "FR", "GB", "NL"), "in-america": ("US", "US", "US", "CA", "BR")}
"""Where accounts of a kind live, one picked at random; all others in Japan."""

HOUR_SHARES: tuple[float, ...] = (
    0.80, 0.55, 0.38, 0.30, 0.28, 0.32, 0.50, 0.75, 1.00, 1.15, 1.20, 1.20,
    1.30, 1.20, 1.10, 1.10, 1.10, 1.15, 1.25, 1.35, 1.50, 1.60, 1.52, 1.40,
)  # fmt: skip
"""Requests of people by the hour of their own day, mean 1."""

OFFICE_SHARES: tuple[float, ...] = (
    0.10, 0.10, 0.10, 0.10, 0.10, 0.10, 0.10, 0.30, 0.90, 2.40, 2.80, 2.60,
    1.40, 2.40, 2.50, 2.60, 2.40, 1.80, 0.60, 0.20, 0.10, 0.10, 0.10, 0.10,
)  # fmt: skip
HOURS: dict[Profile, tuple[float, ...]] = {"leisure": HOUR_SHARES, "office": OFFICE_SHARES, "flat": (1.0,) * 24}
WEEK: dict[Profile, tuple[float, ...]] = {
    "leisure": (1.00, 0.98, 0.98, 1.00, 1.06, 1.00, 0.98),
    "office": (1.38, 1.33, 1.30, 1.30, 1.39, 0.18, 0.12),
    "flat": (1.06, 1.06, 1.06, 1.06, 1.06, 0.85, 0.85),
}
"""Requests by day of the week, Monday first, mean 1."""

PAY_DAY: dict[Profile, tuple[float, float]] = {"leisure": (1.5, 1.25), "office": (1.6, 1.1), "flat": (1.0, 1.0)}
"""Requests on a pay day and on the day after it, times the usual."""

OTHER_EXCHANGES = 12
"""Deposit addresses of other exchanges and payment processors per asset at the start; the first get most."""
