"""The simulated exchange's fixed world, as tables: assets, wallets, providers, reserve layers, kinds of accounts, hours.

All figures are assumed (no exchange publishes its own), orders of magnitude of a middle-sized Japanese exchange in 2024.
No behaviour here. Read by `population`, `exchange` and `scenario`; names are synthetic.
"""

from typing import NamedTuple

BASE_CURRENCY = "JPY"
DESK_ACCOUNT = "desk-treasury"
"""The exchange's own desk: moves customers' assets between wallets through the withdrawal path, as at the incidents of 2024 and 2025."""


class SimulatedAsset(NamedTuple):
    """One asset: `price` in JPY, `step_decimals` = finest amounts that people type, `confirm_seconds` = typical time to confirmation."""

    asset: str
    network: str
    decimals: int
    step_decimals: int
    price: int
    volatility: float
    share: float
    fee: str
    confirm_seconds: tuple[float, float]
    address_prefix: str
    address_digits: int
    tagged: bool = False
    batch_seconds: int = 0


ASSETS: tuple[SimulatedAsset, ...] = (
    SimulatedAsset("BTC", "bitcoin", 8, 6, 10_700_000, 0.00005, 0.34, "0.00015", (600, 2_400), "bc1q", 38, batch_seconds=10),
    SimulatedAsset("ETH", "ethereum", 18, 5, 590_000, 0.00006, 0.26, "0.0012", (150, 240), "0x", 40),
    SimulatedAsset("XRP", "xrpl", 6, 2, 82, 0.00007, 0.26, "0.15", (4, 8), "r", 32, tagged=True),
    SimulatedAsset("SOL", "solana", 9, 3, 26_000, 0.00009, 0.14, "0.01", (10, 25), "So", 42),
)


class SimulatedWallet(NamedTuple):
    """One wallet: `opening` in units of the asset; hot wallets pay customers, cold ones fill them up."""

    wallet_id: str
    asset: str
    temperature: str
    provider_id: str
    opening: str
    address: str


WALLETS: tuple[SimulatedWallet, ...] = (
    SimulatedWallet("wallet-btc-hot", "BTC", "hot", "provider-signing", "900", "bc1q1346466c8b091e62576a135e34f896e537d545"),
    SimulatedWallet("wallet-btc-cold", "BTC", "cold", "provider-wallet-software", "18000", "bc1q44c5c9f1caaf7a7e9d53648612601ba3a0f7a3"),
    SimulatedWallet("wallet-eth-hot", "ETH", "hot", "provider-signing", "12000", "0xa9ea50697de1f040990c2a40f93af1ea333e7692"),
    SimulatedWallet("wallet-eth-cold", "ETH", "cold", "provider-custody", "240000", "0xaa787f0da37787a10cecfadd52aad4910006d7fb"),
    SimulatedWallet("wallet-xrp-hot", "XRP", "hot", "provider-signing", "45000000", "raa4b6866ffaa3c083025942ade5d9552"),
    SimulatedWallet("wallet-xrp-cold", "XRP", "cold", "provider-custody", "900000000", "r0c6bbb53c2e3c1176008dbf06c854b95"),
    SimulatedWallet("wallet-sol-hot", "SOL", "hot", "provider-signing", "60000", "Sodd18012376a5bac08f08bbc1d6cdae9a490eef92f0"),
    SimulatedWallet("wallet-sol-cold", "SOL", "cold", "provider-custody", "1200000", "So8bcc735178479617a73ee8259352262430b1566e7b"),
)


class SimulatedProvider(NamedTuple):
    """One custodian or system provider."""

    provider_id: str
    name: str
    role: str
    standing: str
    registration_number: str | None


PROVIDERS: tuple[SimulatedProvider, ...] = (
    SimulatedProvider("provider-signing", "Example Signing KK", "signing", "notified", None),
    SimulatedProvider("provider-wallet-software", "Example Wallet Software KK", "wallet_software", "registered", "EX-0001"),
    SimulatedProvider("provider-custody", "Example Custody KK", "custodian", "registered", "EX-0002"),
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


class AccountKind(NamedTuple):
    """One kind of account. Shares add up to 1; amounts are lognormal: `median_jpy` and `sigma` of the logarithm.

    `to_exchange`: share paid to deposit addresses of other exchanges, which many customers use; `new_address`: share to an address
    never used by this account before; `login`: share of requests with a login shortly before.
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


ACCOUNT_KINDS: tuple[AccountKind, ...] = (
    AccountKind("retail", 0.80, 0.52, 60_000, 1.1, 0.30, 0.06, 0.60, ("app", "app", "web"), 0.35),
    AccountKind("active", 0.16, 0.28, 250_000, 1.2, 0.45, 0.04, 0.50, ("web", "app", "web"), 0.25),
    AccountKind("wealthy", 0.02, 0.03, 4_000_000, 1.0, 0.20, 0.05, 0.70, ("web",), 0.50),
    AccountKind("business", 0.015, 0.05, 1_500_000, 0.8, 0.15, 0.08, 0.30, ("web", "api"), 0.10),
    AccountKind("market-maker", 0.005, 0.12, 2_500_000, 0.5, 0.90, 0.002, 0.02, ("api",), 0.60),
)

HOUR_SHARES: tuple[float, ...] = (
    0.80, 0.55, 0.38, 0.30, 0.28, 0.32, 0.50, 0.75, 1.00, 1.15, 1.20, 1.20,
    1.30, 1.20, 1.10, 1.10, 1.10, 1.15, 1.25, 1.35, 1.50, 1.60, 1.52, 1.40,
)  # fmt: skip
"""Requests by hour of the day in Japan (UTC+9), mean 1."""

OTHER_EXCHANGES = 12
"""Deposit addresses of other exchanges and payment processors per asset; the first get most."""
