"""What the exact rules make of short stories, as in `test_stories.py`: repetitions, retries, wallets, balances, units."""

import pytest

from monitor.policy import Thresholds
from tests.unit.story import Story, short

STORIES = {
    "the same payment twice, and the books have moved on: a customer who pays twice": """
        withdrawals status=requested withdrawal_id=w1 balance_before=5 | verdict CLEAR
        withdrawals status=requested withdrawal_id=w2 balance_before=3.9 | verdict CLEAR""",
    "the same payment twice with one balance before it: one request replayed": """
        withdrawals status=requested withdrawal_id=w1 balance_before=5 | verdict CLEAR
        withdrawals status=requested withdrawal_id=w2 balance_before=5 | mark suspected 1 BTC; page; verdict HOLD replayed_request
        withdrawals status=requested withdrawal_id=w3 balance_before=5 | mark suspected 1 BTC; verdict HOLD replayed_request""",
    "it was cancelled and asked for again: the balance is the same, and it is honest": """
        withdrawals status=requested withdrawal_id=w1 balance_before=5 | verdict CLEAR
        withdrawals status=cancelled withdrawal_id=w1 |
        withdrawals status=requested withdrawal_id=w2 balance_before=5 | verdict CLEAR""",
    "a person's form comes twice within seconds": """
        withdrawals status=requested withdrawal_id=w1 channel=app | verdict CLEAR
        withdrawals status=requested withdrawal_id=w2 channel=app | mark suspected 1 BTC; page; verdict HOLD replayed_request""",
    "one key of the client's, two withdrawals": """
        withdrawals status=requested withdrawal_id=w1 idempotency_key=k channel=api | verdict CLEAR
        withdrawals status=requested withdrawal_id=w2 idempotency_key=k channel=api amount=2 | mark suspected 2 BTC; page; verdict HOLD replayed_request""",
    "another account, address, asset or amount is another payment": """
        withdrawals status=requested withdrawal_id=w1 balance_before=5 | verdict CLEAR
        withdrawals status=requested withdrawal_id=w2 balance_before=5 account_id=b | verdict CLEAR
        withdrawals status=requested withdrawal_id=w3 balance_before=5 address=other | verdict CLEAR
        withdrawals status=requested withdrawal_id=w4 balance_before=5 amount=1.5 | verdict CLEAR
        withdrawals status=requested withdrawal_id=w5 balance_before=5 asset=ETH | verdict CLEAR""",
    "signed again after it was sent: held before it is paid twice": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=approved                   |
        withdrawals status=signed                     |
        withdrawals status=broadcast tx_id=t1         |
        withdrawals status=signed                     | notice; verdict HOLD late sent_again
        withdrawals status=broadcast tx_id=t2         | mark suspected 1 BTC; page; verdict HOLD late double_payout,sent_again""",
    "the call timed out, but the chain shows it: signing again is held": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=signed                     |
        outflows tx_id=t1 withdrawal_id=w             |
        withdrawals status=signed                     | notice; verdict HOLD late sent_again""",
    "it failed and is signed again: honest": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=signed                     |
        withdrawals status=broadcast tx_id=t1         |
        withdrawals status=failed                     |
        withdrawals status=signed                     |
        withdrawals status=broadcast tx_id=t2         |
        outflows tx_id=t2 withdrawal_id=w             |
        progress                                      |""",
    "its failure is the first that is heard of it, then it is retried: honest": """
        withdrawals status=failed tx_id=t1            | verdict UNSCORED never_requested
        withdrawals status=signed                     |
        withdrawals status=broadcast tx_id=t2         |
        outflows tx_id=t2 withdrawal_id=w             |
        progress                                      |""",
    "the retry's outflow is read before the failure and the retry: it waits": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t1         |
        outflows tx_id=t2 withdrawal_id=w             |
        withdrawals status=failed                     |
        withdrawals status=broadcast tx_id=t2         |
        progress                                      |
        progress                                      |""",
    "an outflow of another transaction, and no failure ever comes": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t1         |
        outflows tx_id=t2 withdrawal_id=w             |
        tick                                          |
        tick                                          |
        tick                                          |
        progress                                      | mark suspected 1 BTC; page; verdict HOLD late double_payout""",
    "a higher fee, told as a replacement, and one of the two is mined": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=signed                     |
        withdrawals status=broadcast tx_id=t1         |
        withdrawals status=signed tx_id=t2 replaces_tx_id=t1 |
        withdrawals status=broadcast tx_id=t2 replaces_tx_id=t1 |
        outflows tx_id=t2 withdrawal_id=w             |
        withdrawals status=confirmed tx_id=t2         |
        progress                                      |""",
    "a higher fee, and the first of the two is mined after all": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t1         |
        withdrawals status=broadcast tx_id=t2 replaces_tx_id=t1 |
        outflows tx_id=t1 withdrawal_id=w             |
        withdrawals status=confirmed tx_id=t1         |
        progress                                      |""",
    "told as a replacement, but both are on chain": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t1         |
        withdrawals status=broadcast tx_id=t2 replaces_tx_id=t1 |
        outflows tx_id=t1 withdrawal_id=w             |
        outflows tx_id=t2 withdrawal_id=w             | mark suspected 1 BTC; page; verdict HOLD late double_payout""",
    "told as a replacement of what is on chain already": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t1         |
        outflows tx_id=t1 withdrawal_id=w             |
        withdrawals status=broadcast tx_id=t2 replaces_tx_id=t1 | mark suspected 1 BTC; page; verdict HOLD late double_payout""",
    "a replacement of some other transaction explains nothing": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t1         |
        withdrawals status=broadcast tx_id=t2 replaces_tx_id=t9 | mark suspected 1 BTC; page; verdict HOLD late double_payout""",
    "a double payout is one loss, in whatever order the chain shows the two": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t1         |
        withdrawals status=broadcast tx_id=t2         | mark suspected 1 BTC; page; verdict HOLD late double_payout
        outflows tx_id=t2 withdrawal_id=w             |
        outflows tx_id=t1 withdrawal_id=w             |
        progress                                      |""",
    "less was approved than is paid": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=approved amount=0.5        |
        withdrawals status=signed amount=0.5          |
        withdrawals status=broadcast tx_id=t          | mark suspected 1 BTC; page; verdict HOLD late amount_changed""",
    "approved after it was sent": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t          |
        withdrawals status=approved                   | notice""",
    "steps dated backwards, and a request from the future": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=approved occurred_at_ms=1699999000000 | notice
        withdrawals status=requested withdrawal_id=w2 account_id=b occurred_at_ms=1700000500000 | verdict CLEAR""",
    "who may sign changed, and a large part of the wallet leaves": """
        balances amount=100                           |
        wallet-events action=authority_changed        | notice
        withdrawals status=requested amount=9 withdrawal_id=w1 | verdict CLEAR
        withdrawals status=requested amount=11        | mark suspected 11 BTC; page; verdict HOLD large_after_authority_change
        withdrawals status=broadcast amount=11 tx_id=t | page; verdict HOLD late large_after_authority_change""",
    "who may sign changed, and the wallet is emptied by a transaction of nobody's": """
        balances amount=100                           |
        wallet-events action=signer_changed           | notice
        outflows amount=99 tx_id=t address=thief      | mark suspected 99 BTC; page
        progress                                      |
        progress                                      |""",
    "sends fail one after the other": """
        wallet-events action=send_error               |
        wallet-events action=send_error               |
        wallet-events action=node_trouble             | notice""",
    "a frozen wallet pays": """
        wallet-events action=frozen                   |
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t          |
        tick                                          |
        tick                                          |
        tick                                          |
        progress                                      | mark suspected 1 BTC; page; verdict HOLD late frozen_wallet_pays""",
    "a frozen wallet is emptied into another of the exchange's own": """
        wallet-events action=frozen                   |
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t          |
        outflows tx_id=t withdrawal_id=w internal=yes |
        tick                                          |
        tick                                          |
        tick                                          |
        progress                                      |""",
    "it was unfrozen, which is read later": """
        wallet-events action=frozen                   |
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t occurred_at_ms=1700000060000 |
        wallet-events action=unfrozen occurred_at_ms=1700000050000 |
        tick                                          |
        tick                                          |
        tick                                          |
        progress                                      |""",
    "a balance falls by more than what left": """
        balances amount=100 occurred_at_ms=1699999000000 |
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t          |
        balances amount=69                            |
        WAIT 31                                       |
        progress                                      | mark suspected 30 BTC; page
        balances amount=69                            |
        progress                                      |""",
    "what left, told by two watchers, explains a fall once": """
        balances amount=100 occurred_at_ms=1699999000000 |
        withdrawals status=requested amount=30        | verdict CLEAR
        outflows withdrawal_id=w tx_id=t output_index=0 amount=30 |
        outflows withdrawal_id=w tx_id=t output_index=0 amount=30 |
        outflows tx_id=s output_index=0 amount=5 internal=yes |
        outflows tx_id=s output_index=0 amount=5 internal=yes |
        balances amount=30                            |
        WAIT 31                                       |
        progress                                      | mark suspected 35 BTC; page""",
    "what explains the fall is read after the balance": """
        balances amount=100 occurred_at_ms=1699999000000 |
        balances amount=69                            |
        outflows amount=31 tx_id=t internal=yes       |
        WAIT 31                                       |
        progress                                      |""",
    "more is asked for than the account holds, and no credit explains it": """
        holdings account_id=a quantity=1.5            |
        withdrawals status=requested withdrawal_id=w1 address=h1 | verdict CLEAR
        withdrawals status=requested withdrawal_id=w2 address=h2 | verdict CLEAR
        tick                                          |
        tick                                          |
        tick                                          |
        progress                                      | notice; verdict WATCH more_than_holding""",
    "a credit explains it, read later": """
        holdings account_id=a quantity=1.5            |
        withdrawals status=requested withdrawal_id=w1 address=h1 | verdict CLEAR
        withdrawals status=requested withdrawal_id=w2 address=h2 | verdict CLEAR
        postings amount=1                             |
        tick                                          |
        tick                                          |
        progress                                      |""",
    "what was given up is in the holding again": """
        holdings account_id=a quantity=1.5            |
        withdrawals status=requested withdrawal_id=w1 address=h1 | verdict CLEAR
        withdrawals status=failed withdrawal_id=w1 address=h1 |
        withdrawals status=requested withdrawal_id=w2 address=h2 | verdict CLEAR
        tick                                          |
        tick                                          |
        tick                                          |
        progress                                      |""",
    "one posting with two amounts; its other side is right": """
        postings amount=1 posting_id=p                |
        postings amount=1 posting_id=p kind=debit account_id=b |
        postings amount=2 posting_id=p                | notice""",
    "a reward of yen is credited in coins": """
        prices price=10000000                         |
        MANY postings amount=0.01 posting_id=N        |
        postings amount=90000 posting_id=big batch_id=b | mark suspected 90000 BTC; page""",
    "a whale's deposit isn't a number of yen that would be usual": """
        prices price=10000000                         |
        MANY postings amount=0.01 posting_id=N        |
        postings amount=20 posting_id=big             |""",
    "a payment without the approval that all before it had": """
        LIVES approved,signed,broadcast               |
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=signed                     | mark suspected 1 BTC; page; verdict HOLD step_missing""",
    "this exchange signs nothing that it tells: nothing is missed": """
        LIVES approved,broadcast                      |
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=approved                   |
        withdrawals status=broadcast tx_id=t          |""",
}


def tell(story: Story, line: str) -> list[dict[str, object]]:
    """A line of a story. MANY says it 120 times, LIVES lets 120 withdrawals take the steps, WAIT lets seconds pass."""
    word, _, rest = line.partition(" ")
    if word == "WAIT":
        story.now_ms += int(rest) * 1_000
        return []
    if word == "MANY":
        return [record for number in range(120) for record in story.tell(rest.replace("=N", f"={number}"))]
    if word == "LIVES":
        for number in range(120):
            for status in ("requested", *rest.split(",")):
                story.tell(f"withdrawals status={status} withdrawal_id=l{number} account_id=l{number} address=h{number} tx_id=t{number}")
        return []
    return story.tell(line)


@pytest.mark.parametrize("name", STORIES)
def test_story(name: str) -> None:
    story = Story()
    for line in STORIES[name].strip().splitlines():
        happens, expected = (part.strip() for part in line.rsplit("|", 1))
        published = tell(story, happens)
        assert "; ".join(word for word in map(short, published) if word) == expected, line


@pytest.mark.parametrize(("owner", "found"), [("customer", 1), ("exchange", 0)])
def test_an_amount_in_other_units_is_a_customer_s_and_not_a_top_up_s(owner: str, found: int) -> None:
    """A hot wallet's top-up is larger than all that customers ask for; it is measured by the exchange's own moves."""
    story = Story(thresholds=Thresholds(unit_confusion_base_amount="100000"))
    story.tell("prices price=10000")
    for number in range(120):
        story.tell(f"withdrawals status=requested withdrawal_id=w{number} account_id=a{number} amount=0.{number % 7 + 1}")
    story.tell(f"withdrawals status=requested withdrawal_id=large account_id=large amount=3000 owner={owner}")
    assert story.engine.gauges().findings.get("unit_confusion", 0) == found
