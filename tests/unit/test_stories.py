"""What the core makes of short stories: a line is something that happens, the last column what is published because of it."""

import pytest

from tests.simulation.journals import START_MS
from tests.unit.story import Story, short

STORIES = {
    "an honest life": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=approved                   |
        withdrawals status=broadcast tx_id=t          |
        outflows tx_id=t withdrawal_id=w              |
        withdrawals status=confirmed tx_id=t          |""",
    "another address is paid": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t address=thief | mark suspected 1 BTC; page; verdict HOLD late redirect
        withdrawals status=confirmed tx_id=t address=thief |""",
    "the change shows before the broadcast, and the withdrawal is stopped": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=signed address=thief       | mark suspected 1 BTC; page; verdict HOLD redirect
        withdrawals status=cancelled                  | mark cleared 1 BTC""",
    "it was to be held and left all the same": """
        withdrawals status=requested balance_before=0.5 | mark suspected 1 BTC; page; verdict HOLD more_than_held
        withdrawals status=broadcast tx_id=t          | page; verdict HOLD late more_than_held""",
    "more is paid than was asked for": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t amount=1.00000001 | mark suspected 1.00000001 BTC; page; verdict HOLD late amount_changed""",
    "less is paid, the fee taken off: nothing is wrong": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t amount=0.999 |""",
    "two transactions pay one withdrawal": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t1         |
        withdrawals status=broadcast tx_id=t2         | mark suspected 1 BTC; page; verdict HOLD late double_payout""",
    "the second payout shows on chain only": """
        withdrawals status=requested                  | verdict CLEAR
        outflows tx_id=t1 withdrawal_id=w             |
        outflows tx_id=t2 withdrawal_id=w             | mark suspected 1 BTC; page; verdict HOLD late double_payout""",
    "a failed transaction is sent again: no double payout": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t1         |
        withdrawals status=failed                     |
        withdrawals status=broadcast tx_id=t2         |""",
    "an outflow comes before its request": """
        outflows tx_id=t withdrawal_id=w              |
        withdrawals status=requested                  | verdict CLEAR
        progress                                      |""",
    "an outflow without a claim is explained by its transaction": """
        withdrawals status=requested                  | verdict CLEAR
        outflows tx_id=t                              |
        withdrawals status=broadcast tx_id=t          |
        progress                                      |""",
    "an outflow that nobody asked for: proven by progress, not by Ticks": """
        outflows tx_id=t                              |
        tick                                          |
        tick                                          |
        tick                                          |
        tick                                          |
        progress                                      | mark suspected 1 BTC; page""",
    "the exchange moves its own": """
        outflows tx_id=t internal=yes                 |
        progress                                      |""",
    "more than all wallets hold": """
        balances amount=10                            |
        progress                                      |
        withdrawals status=requested amount=11        | mark suspected 11 BTC; page; verdict HOLD more_than_held""",
    "a batch credits more than is held": """
        balances amount=10                            |
        progress                                      |
        postings amount=6 batch_id=b posting_id=p1    |
        postings amount=6 batch_id=b posting_id=p2    | mark suspected 6 BTC; mark suspected 6 BTC; page
        postings amount=1 batch_id=b posting_id=p3    | mark suspected 1 BTC""",
    "two batches, each of less than is held": """
        balances amount=10                            |
        progress                                      |
        postings amount=6 batch_id=b posting_id=p1    |
        postings amount=6 batch_id=c posting_id=p2    |
        postings amount=6 posting_id=p3               |
        postings amount=4 batch_id=b posting_id=p4    |""",
    "a step of a withdrawal that nobody has seen asked for": """
        withdrawals status=approved                   | verdict UNSCORED never_requested""",
    "a withdrawal is paid that nobody has seen asked for; its outflow is the same loss": """
        withdrawals status=broadcast tx_id=t          | mark suspected 1 BTC; page; verdict UNSCORED never_requested
        outflows tx_id=t                              |
        progress                                      |""",
    "it was cancelled and is paid all the same": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=cancelled                  |
        withdrawals status=approved                   |
        withdrawals status=broadcast tx_id=t          | mark suspected 1 BTC; page; verdict HOLD late paid_after_cancellation
        outflows tx_id=t                              |""",
    "it was cancelled and leaves all the same, as the chain shows": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=cancelled                  |
        outflows tx_id=t withdrawal_id=w              | mark suspected 1 BTC; page; verdict HOLD late paid_after_cancellation""",
    "the same event twice, then with other content": """
        withdrawals status=requested event_id=x       | verdict CLEAR
        withdrawals status=requested event_id=x occurred_at_ms=SAME |
        withdrawals status=requested event_id=x amount=2 | audit repeat-conflict; notice; mark suspected 2 BTC; page; verdict HOLD amount_changed""",
    "balances are still being read: their sum isn't what is held": """
        balances amount=0.5                           |
        withdrawals status=requested                  | verdict CLEAR""",
    "an asset that this term doesn't know": """
        balances asset=DOGE amount=1                  | audit refused
        outflows asset=DOGE tx_id=t                   | audit refused; verdict UNSCORED rejected
        withdrawals status=requested asset=DOGE       | audit refused; verdict UNSCORED rejected""",
    "more decimals than this term's policy has": """
        withdrawals status=requested amount=0.000000001 | audit refused; verdict UNSCORED rejected""",
    "it failed, they say, but it was seen on chain: the retry is a double payout": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t1         |
        outflows tx_id=t1 withdrawal_id=w             |
        withdrawals status=failed                     |
        withdrawals status=broadcast tx_id=t2         | mark suspected 1 BTC; page; verdict HOLD late double_payout""",
    "a failed step names its transaction": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=failed tx_id=t1            |
        withdrawals status=broadcast tx_id=t2         |
        outflows tx_id=t2                             |""",
    "held, given up, and paid all the same: marked again": """
        withdrawals status=requested balance_before=0.5 | mark suspected 1 BTC; page; verdict HOLD more_than_held
        withdrawals status=failed                     | mark cleared 1 BTC
        withdrawals status=broadcast tx_id=t          | mark suspected 1 BTC; page; verdict HOLD late more_than_held""",
    "redirected, given up, and paid all the same: marked again": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=signed address=thief       | mark suspected 1 BTC; page; verdict HOLD redirect
        withdrawals status=failed                     | mark cleared 1 BTC
        withdrawals status=broadcast address=thief tx_id=t | mark suspected 1 BTC; page; verdict HOLD late redirect
        outflows address=thief tx_id=t                |
        progress                                      |""",
    "what was seen on chain isn't given back when the step says cancelled": """
        withdrawals status=requested balance_before=0.5 | mark suspected 1 BTC; page; verdict HOLD more_than_held
        outflows tx_id=t withdrawal_id=w              | page; verdict HOLD late more_than_held
        withdrawals status=cancelled                  |""",
    "what was broadcast isn't given back either": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast address=thief tx_id=t | mark suspected 1 BTC; page; verdict HOLD late redirect
        withdrawals status=cancelled                  |
        withdrawals status=cancelled                  |""",
    "the loss turns out larger": """
        withdrawals status=requested balance_before=0.5 | mark suspected 1 BTC; page; verdict HOLD more_than_held
        withdrawals status=broadcast amount=100 tx_id=t | mark suspected 100 BTC; page; verdict HOLD late amount_changed,more_than_held""",
    "an outflow told again with another asset is another loss beside": """
        outflows event_id=o tx_id=t address=thief amount=1000 |
        progress                                      |
        progress                                      |
        progress                                      | mark suspected 1000 BTC; page
        outflows event_id=o tx_id=t address=thief amount=1 asset=ETH | audit repeat-conflict; notice
        progress                                      |
        progress                                      |
        progress                                      | mark suspected 1 ETH; page
        outflows event_id=o tx_id=t address=thief amount=1001 | audit repeat-conflict
        progress                                      |
        progress                                      |
        progress                                      | mark suspected 1001 BTC""",
    "one output that nobody asked for, told by two watchers, is one loss": """
        outflows tx_id=t output_index=0 address=thief amount=10 |
        outflows tx_id=t output_index=0 address=thief amount=10 |
        outflows tx_id=t output_index=1 address=thief amount=10 |
        progress                                      | mark suspected 10 BTC; page
        progress                                      |
        progress                                      | mark suspected 10 BTC""",
    "one output of a withdrawal's, told by two watchers, is paid once": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t          |
        outflows tx_id=t output_index=3               |
        outflows tx_id=t output_index=3               |
        outflows tx_id=t output_index=4 amount=0.5    | mark suspected 1.5 BTC; page; verdict HOLD late amount_changed""",
    "an output of a withdrawal's, told in other ways": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t          |
        outflows tx_id=t output_index=3               |
        outflows tx_id=t output_index=3 amount=9      | notice; mark suspected 10 BTC; page; verdict HOLD late amount_changed
        outflows tx_id=t output_index=3               |
        outflows tx_id=t output_index=3 amount=9      |
        outflows tx_id=t output_index=3 withdrawal_id=w address=thief amount=90 | mark suspected 90 BTC; page; verdict HOLD late redirect,amount_changed,amount_changed
        progress                                      |""",
    "a coin and a token leave as outputs of one number": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t          |
        outflows tx_id=t output_index=0               |
        outflows tx_id=t output_index=0 asset=ETH network=e amount=5 | mark suspected 5 ETH; page; verdict HOLD late redirect
        outflows tx_id=t output_index=0               |""",
    "one output that nobody asked for, told with other contents": """
        outflows tx_id=t output_index=0 address=thief amount=1 |
        outflows tx_id=t output_index=0 address=thief amount=10 | notice
        outflows tx_id=t output_index=0 address=thief amount=10 |
        progress                                      | mark suspected 1 BTC; page
        progress                                      | mark suspected 10 BTC; page
        progress                                      |""",
    "several outputs of one transaction that nobody asked for": """
        outflows tx_id=t address=thief amount=1       |
        outflows tx_id=t address=thief amount=1000 asset=ETH |
        outflows tx_id=t address=thief amount=50      |
        progress                                      | mark suspected 1 BTC; page
        progress                                      | mark suspected 1000 ETH; page
        progress                                      | mark suspected 50 BTC; page""",
    "several outputs of its transaction pay one withdrawal": """
        withdrawals status=requested                  | verdict CLEAR
        withdrawals status=broadcast tx_id=t          |
        outflows tx_id=t amount=0.5                   |
        outflows tx_id=t amount=0.5                   |
        outflows tx_id=t amount=0.5                   | mark suspected 1.5 BTC; page; verdict HOLD late amount_changed""",
    "a batch pays two withdrawals to one destination, an output each": """
        withdrawals status=requested withdrawal_id=w1 amount=2 | verdict CLEAR
        withdrawals status=requested withdrawal_id=w2 | verdict CLEAR
        withdrawals status=broadcast withdrawal_id=w1 amount=2 tx_id=t |
        withdrawals status=broadcast withdrawal_id=w2 tx_id=t |
        outflows tx_id=t amount=2                     |
        outflows tx_id=t amount=1                     |
        progress                                      |""",
    "a batch pays two withdrawals to one destination with one output": """
        withdrawals status=requested withdrawal_id=w1 amount=2 | verdict CLEAR
        withdrawals status=requested withdrawal_id=w2 | verdict CLEAR
        withdrawals status=broadcast withdrawal_id=w1 amount=2 tx_id=t |
        withdrawals status=broadcast withdrawal_id=w2 tx_id=t |
        outflows tx_id=t amount=3                     |""",
    "one of a batch failed; the other's outflow is still explained": """
        withdrawals status=requested withdrawal_id=w1 | verdict CLEAR
        withdrawals status=requested withdrawal_id=w2 | verdict CLEAR
        withdrawals status=broadcast withdrawal_id=w1 tx_id=t |
        withdrawals status=broadcast withdrawal_id=w2 tx_id=t |
        withdrawals status=failed withdrawal_id=w1    |
        outflows tx_id=t                              |
        progress                                      |""",
    "a decision that nobody's key has signed": """
        feedback subject_id=i command=clear actor=me reason=because seen_version=1 | audit refused""",
    "a layer that the policy doesn't know": """
        reserves layer_id=other unit=JPY amount=5     | audit refused""",
}


@pytest.mark.parametrize("name", STORIES)
def test_story(name: str) -> None:
    story = Story()
    first_ms = START_MS + 1_000
    for line in STORIES[name].strip().splitlines():
        happens, expected = (part.strip() for part in line.rsplit("|", 1))
        published = story.tell(happens.replace("SAME", str(first_ms)))
        assert "; ".join(word for word in map(short, published) if word) == expected, line
