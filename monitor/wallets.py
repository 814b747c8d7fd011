"""What is known of each wallet beyond its balance: who may sign, whether it is frozen, failed sends, the steps its payments had, what flowed out.

Pure facts and exact sums; bounded by the policy's wallets: what is over is not followed, and counted. Called by `monitor.wallet_rules`,
`monitor.payouts` and `monitor.funds`.
"""

import msgspec

TROUBLES_KEPT = 3
CHECKPOINTS_KEPT = 8


class Trouble(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A failed send or a node's trouble, and how many payments the wallet had sent by then."""

    at_ms: int
    sends: int


class Wallet(msgspec.Struct):
    """One wallet. `approved_run` and `signed_run`: payments in a row that were approved, or signed, before they were sent.

    `flows`: what flowed out of it, by asset.
    """

    approved_run: int = 0
    signed_run: int = 0
    sends: int = 0
    troubles: tuple[Trouble, ...] = ()
    authority_at_ms: int = -1
    authority_change: str = ""
    frozen_at_ms: int = -1
    unfrozen_at_ms: int = -1
    flows: dict[str, "Flow"] = {}

    def flow(self, asset: str) -> "Flow":
        """The flow of an asset out of it."""
        flow = self.flows.get(asset)
        if flow is None:
            flow = self.flows[asset] = Flow()
        return flow

    def frozen_at(self, at_ms: int) -> bool:
        """Whether it was frozen then, as far as told."""
        return 0 <= self.frozen_at_ms <= at_ms and not self.frozen_at_ms <= self.unfrozen_at_ms <= at_ms


class Checkpoint(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A balance, and the sums of what had flowed out when it came (`out`, `sent`) and one checkpoint before (`out_before`, `sent_before`)."""

    at_ms: int
    amount_minor: int
    out_minor: int
    sent_minor: int
    out_before_minor: int
    sent_before_minor: int


class Flow(msgspec.Struct):
    """What left one wallet of one asset since the beginning: as the chain shows (`out`), and as withdrawals say (`sent`)."""

    out_minor: int = 0
    sent_minor: int = 0
    checkpoints: tuple[Checkpoint, ...] = ()

    def unexplained(self, at_ms: int, amount_minor: int, permille: int) -> tuple[int, Checkpoint] | None:
        """By how much a balance is lower than any kept one before it, less what is known to have left since; None within the tolerance.

        What left since the checkpoint before that one counts too: it may have been in flight when the balance was read.
        """
        worst: tuple[int, Checkpoint] | None = None
        for before in self.checkpoints:
            if before.at_ms < at_ms:
                known_minor = max(self.out_minor - before.out_before_minor, self.sent_minor - before.sent_before_minor)
                missing = before.amount_minor - amount_minor - known_minor
                if missing * 1_000 > before.amount_minor * permille and (worst is None or missing > worst[0]):
                    worst = missing, before
        return worst

    def remember(self, at_ms: int, amount_minor: int, spacing_ms: int) -> None:
        """Keep a balance to compare later ones with, if the newest kept one is old enough that nothing can still be in flight from before it."""
        last = self.checkpoints[-1] if self.checkpoints else None
        if last is None:
            self.checkpoints = (Checkpoint(at_ms, amount_minor, self.out_minor, self.sent_minor, 0, 0),)
        elif at_ms >= last.at_ms + spacing_ms:
            mine = Checkpoint(at_ms, amount_minor, self.out_minor, self.sent_minor, last.out_minor, last.sent_minor)
            self.checkpoints = (*self.checkpoints, mine)[-CHECKPOINTS_KEPT:]

    def restart(self, at_ms: int, amount_minor: int) -> None:
        """A fall was told: later balances are compared with this one."""
        self.checkpoints = (Checkpoint(at_ms, amount_minor, self.out_minor, self.sent_minor, self.out_minor, self.sent_minor),)


class Wallets:
    """Wallets by id; `changes` of signers or authorities so far."""

    def __init__(self) -> None:
        self.by_id: dict[str, Wallet] = {}
        self.changes = 0
        self.unfollowed = 0

    def of(self, wallet_id: str, limit: int) -> Wallet:
        """The wallet; one that nobody keeps when the table is full."""
        wallet = self.by_id.get(wallet_id)
        if wallet is None:
            wallet = Wallet()
            if len(self.by_id) < limit:
                self.by_id[wallet_id] = wallet
            else:
                self.unfollowed += 1
        return wallet
