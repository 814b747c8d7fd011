"""`decide`: what a person decides, signed with the person's own key, sent to the core, and what came of it. One row a command.

Who may decide what, and on what grounds, the core judges. `decide keys` makes a person's key.
"""

import inspect
import pathlib
import shlex
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from streams.cli.failures import run_with_kafka
from streams.cli.given import Given, given
from streams.cli.printing import print_json, print_sentence, say
from streams.cli.sources import actor_name
from streams.refusals import RefusedError
from streams.words import exact_moment, moment, read_moment, spaced

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from monitor.contracts.feedback import Feedback
    from monitor.contracts.outputs import Audit
    from streams.decisions import Seen, Wish
    from streams.waiting import Waiting

app = typer.Typer(help="Decide about incidents, marks, withdrawals, rules and policies.", no_args_is_help=True, rich_markup_mode=None)
NOT_DECIDED = 1
"""Exit code of a decision that the core refused or didn't answer in time, and of one that its person took back."""
WAIT_SECONDS = 30.0
STYLES = {"decided": "bold green", "awaits-second": "bold yellow", "refused": "bold red"}


Clock = Literal["halted", "regulator_told", "police_told", "customers_told"]
Cause = Literal["unauthorized_access", "system_failure", "undecided"]
Owner = Literal["customer", "exchange"]
Outcome = Literal["confirmed_unauthorized", "confirmed_system_failure", "customers_own_act", "own_treasury_move", "test", "inconclusive"]
"""The contracts' words, written again because help waits for no library."""
ANNOTATED: Any = Annotated
"""For annotations that are made when the commands are: types know only written ones."""


def option(name: str, help_text: str, default: Any = inspect.Parameter.empty, kind: Any = str, **more: Any) -> inspect.Parameter:
    """One option as typer takes it from a signature; without a default it must be given."""
    told = ANNOTATED[kind if default is not None else kind | None, typer.Option(f"--{name}", help=help_text, **more)]
    return inspect.Parameter(name.replace("-", "_"), inspect.Parameter.KEYWORD_ONLY, default=default, annotation=told)


def argument(name: str, help_text: str) -> inspect.Parameter:
    """One argument."""
    told = ANNOTATED[str, typer.Argument(help=help_text, metavar=name.removeprefix("subject_").upper(), show_default=False)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=told)


class Row(NamedTuple):
    """One command: its sentence, what it may be about, the option that is its argument, the option that is its time, whether it has an amount."""

    sentence: str
    subjects: tuple[str, ...]
    example: str
    argument: inspect.Parameter | None = None
    time: inspect.Parameter | None = None
    amount: inspect.Parameter | None = None


LOSSES = ("incident", "withdrawal", "mark")
INCIDENT = ("incident",)
ROWS = {
    "acknowledge": Row("Say that you are on it.", INCIDENT, "incident incident-1204-0"),
    "assign": Row("Say who has it from now on.", INCIDENT, "incident incident-1204-0 --to m.sato", option("to", "Who has it.")),
    "note": Row("Write the reason into the timeline, for the next shift.", INCIDENT, "incident incident-1204-0"),
    "set-clock": Row(
        "Say when it was halted, or who was told when.", INCIDENT, "incident incident-1204-0 --clock halted --at 2026-05-04T10:31:00Z",
        option("clock", "What was done.", kind=Clock), option("at", "When it was, with its zone; or now."),
    ),
    "confirm": Row("Say that it was a loss.", LOSSES, "incident incident-1204-0"),
    "clear": Row("Say that it was no loss; what is held for it is given back.", LOSSES, "mark withdrawal:w-17"),
    "release": Row("Take HOLDs back: the withdrawals may go.", ("incident", "withdrawal"), "withdrawal w-17"),
    "change-cause": Row("Change the cause: other layers may carry it.", LOSSES, "mark withdrawal:w-17 --cause system_failure",
        option("cause", "What it is.", kind=Cause)),
    "change-owner": Row("Change whose loss it is.", LOSSES, "mark withdrawal:w-17 --owner exchange", option("owner", "Whose it is.", kind=Owner)),
    "recovered": Row("Say how much of a loss came back.", ("withdrawal", "mark"), "mark withdrawal:w-17 --amount 0.5",
        amount=option("amount", "How much, in units of its asset.")),
    "compensated": Row("Say that whom it belongs to was paid.", LOSSES, "incident incident-1204-0"),
    "revise": Row("Say how large a loss is, if it is larger or smaller than it is marked.", ("withdrawal", "mark"), "mark withdrawal:w-17 --amount 2.5",
        amount=option("amount", "The whole loss, in units of its asset.")),
    "move": Row("Say that a mark belongs to another incident: what was merged wrongly is parted so.", ("mark",),
        "mark withdrawal:w-17 --to new", option("to", 'The incident that it belongs to; or "new", for one of its own.')),
    "snooze": Row("Tell nobody of a rule's findings on one value until a time.", ("rule",),
        "rule shared_network --value network:203.0.113 --until 2026-05-05T00:00:00Z",
        option("value", "What is snoozed, with its kind, as network:203.0.113."), option("until", "Until when, with its zone.")),
    "close": Row("Say that it is over, and what it was.", INCIDENT, "incident incident-1204-0 --outcome confirmed_unauthorized",
        option("outcome", "What it was.", kind=Outcome)),
    "reopen": Row("Take a closing, or people's word on a loss, back.", LOSSES, "incident incident-1204-0"),
    "change-policy": Row("Let a proposed policy decide from here on.", ("policy",), "policy 6f0c…"),
}  # fmt: skip

COMMON = (
    option("reason", "Why; it is kept with the decision."),
    option("actor", "Who decides, by the name in policy.actors; the login name if not given.", None, envvar="WITHDRAWAL_MONITOR_ACTOR"),
    option("key-file", "Your Ed25519 private key (PEM, or base64): a file that only you can read, or env:NAME.", envvar="WITHDRAWAL_MONITOR_KEY_FILE"),
    option("seen-version", "The version that you decide about, without looking it up; the published one if not given.", None, int, min=0),
    option("yes", "Don't ask on a terminal.", False, bool),
    option("wait", "Seconds to wait for what comes of it.", WAIT_SECONDS, float, min=0),
    option("json", "As JSON.", False, bool),
)  # fmt: skip


@app.command(epilog="Example: withdrawal-monitor decide keys m.sato.pem")
def keys(out: Annotated[pathlib.Path, typer.Argument(help="File for the private key (PEM); it must not exist.", show_default=False)]) -> None:
    """Make a person's key: the private one goes to a file that only you can read, the public one, for policy.actors, is printed."""
    from streams.signing_keys import make_key, pem_text

    print(make_key(out, pem_text))
    say("Give the printed key to who keeps the policy, for policy.actors.NAME.public_key; keep the file to yourself.")


def _made(name: str, row: Row) -> Callable[..., None]:
    """The command of one row, with the signature that typer reads its options from."""

    def command(context: typer.Context, **words: Any) -> None:
        _decide(given(context), _wish(name, words), words)

    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    subject = argument("subject", f"What it is about: {' or '.join(row.subjects)}.")
    own = tuple(each for each in (row.argument, row.time, row.amount) if each is not None)
    subject_id = argument("subject_id", "Its id; a rule's name, a proposed policy's hash.")
    command.__signature__ = inspect.Signature([context, subject, subject_id, *own, *COMMON])  # type: ignore[attr-defined]
    command.__doc__ = row.sentence
    return command


for _name, _row in ROWS.items():
    app.command(_name, epilog=f"Example: withdrawal-monitor decide {_name} {_row.example} --reason …")(_made(_name, _row))


def _approve(context: typer.Context, **words: Any) -> None:
    """Approve another's decision that waits for a second person: it is shown, and you say the same."""
    from streams.decisions import Wish, find_decision
    from streams.terminal import shown_count

    chosen = given(context)
    with shown_count("read") as progress:
        found = find_decision(chosen.kafka(), words["approves"], chosen.settings.policy.actors, progress)
        first = run_with_kafka(found, chosen.settings.kafka.bootstrap_servers)
    say(
        f"{first.event_id}: {spaced(first.command)} of {first.subject} {first.subject_id} by {first.actor}, on version {first.seen_version}: {first.reason}"
    )
    wish = Wish(
        first.command, first.subject, first.subject_id, actor_name(words["actor"]), words["reason"], first.amount, first.argument, first.time_ms,
        first.event_id,
    )  # fmt: skip
    _decide(chosen, wish, words)


_approve.__signature__ = inspect.Signature([  # type: ignore[attr-defined]
    inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context),
    inspect.Parameter(
        "approves", inspect.Parameter.KEYWORD_ONLY,
        annotation=ANNOTATED[str, typer.Argument(help="Its event id.", metavar="EVENT_ID", show_default=False)],
    ),
    *COMMON,
])  # fmt: skip
app.command("approve", epilog="Example: withdrawal-monitor decide approve decision-5f0c… --reason …")(_approve)


def _decide(chosen: Given, wish: "Wish", words: dict[str, Any]) -> None:
    from streams.decisions import decide, present_journal, signed

    key = _key(chosen, words["key_file"])
    seen_version = _seen(chosen, wish, words["seen_version"])
    if not words["yes"] and sys.stdin.isatty() and not typer.confirm(f"{_told(wish)}?", err=True):
        say("Nothing was sent.")
        raise typer.Exit(NOT_DECIDED)
    journal_id = run_with_kafka(present_journal(chosen.kafka()), chosen.settings.kafka.bootstrap_servers)
    decision = signed(wish, seen_version, journal_id, key, chosen.settings)  # dated when the person has agreed
    outcome = run_with_kafka(decide(chosen.kafka(), decision, words["wait"]), chosen.settings.kafka.bootstrap_servers)
    _conclude(words, decision, outcome)


def _wish(name: str, words: dict[str, Any]) -> "Wish":
    """What is wanted, from the words of the command line. Raises RefusedError."""
    from streams.decisions import Wish

    row = ROWS[name]
    if words["subject"] not in row.subjects:
        raise RefusedError(f'`decide {name}` is about {" or ".join(row.subjects)}, and its id; not about "{words["subject"]}".')

    def own(parameter: inspect.Parameter | None) -> str | None:
        return None if parameter is None else words[parameter.name]

    at = own(row.time)
    return Wish(
        command=name.replace("-", "_"),
        subject=words["subject"],
        subject_id=words["subject_id"],
        actor=actor_name(words["actor"]),
        reason=words["reason"],
        amount=own(row.amount),
        argument=own(row.argument),
        time_ms=None if at is None else read_moment(at, round(time.time() * 1_000)),
    )


def _key(chosen: Given, reference: str) -> "Ed25519PrivateKey":
    from streams.signing_keys import own_key

    def passphrase() -> str | None:
        return typer.prompt(f"Passphrase of {reference}", hide_input=True, err=True) if sys.stdin.isatty() else None

    return own_key(reference, chosen.secrets, passphrase)


def _seen(chosen: Given, wish: "Wish", seen_version: int | None) -> int:
    """The version that is decided about; what it is is said first."""
    if seen_version is not None:
        return seen_version
    from streams.decisions import look_up
    from streams.terminal import shown_count
    from streams.waiting import foreseen, waiting_for

    async def read() -> "tuple[Seen, list[Waiting]]":
        kafka = chosen.kafka()
        return await look_up(kafka, wish.subject, wish.subject_id, progress), await waiting_for(kafka, wish.subject, wish.subject_id)

    with shown_count("read") as progress:
        seen, waiting = run_with_kafka(read(), chosen.settings.kafka.bootstrap_servers)
    say(f"{wish.subject} {wish.subject_id}, version {seen.version}")
    for what, told in seen.facts:
        say(f"  {what}: {spaced(told)}" if what == "state" else f"  {what}: {told}")
    for one in waiting:
        say(
            f"  waits: {one.decision.event_id}, {one.said} by {one.decision.actor}, for a second person until {moment(one.until_ms)} UTC: {one.decision.reason}"
        )
    say(f"  second person: {foreseen(chosen.settings.policy, waiting, wish, seen.value, known=seen.valued)}")
    return seen.version


def _told(wish: "Wish") -> str:
    about = [wish.argument, wish.amount, None if wish.time_ms is None else exact_moment(wish.time_ms)]
    more = " ".join(each for each in about if each is not None)
    return f"{wish.actor}: {spaced(wish.command)} {wish.subject} {wish.subject_id}{f' {more}' if more else ''}"


def _conclude(words: dict[str, Any], decision: "Feedback", outcome: "Audit | None") -> None:
    """Say what came of it, and end with 1 unless it is decided or waits for a second person."""
    second = _second(decision) if outcome is not None and outcome.what == "awaits-second" else None
    if words["json"]:
        told = None if outcome is None else outcome.what
        print_json({
            "event_id": decision.event_id, "seen_version": decision.seen_version, "outcome": told, "detail": None if outcome is None else outcome.detail,
            "actors": [] if outcome is None else outcome.actors, "second_person": second,
        })  # fmt: skip
    elif outcome is not None:
        print_sentence(f"{outcome.what}: {outcome.detail}", STYLES[outcome.what])
        if second is not None:
            print_sentence("A second person approves it with:")
            print(second)
    if outcome is None:
        say(
            f"No outcome within {words['wait']:g} s: is an intake and a core running? It was sent as {decision.event_id}; "
            "what comes of it will stand on audit under that event_id."
        )
    if outcome is None or outcome.what == "refused":
        raise typer.Exit(NOT_DECIDED)


def _second(decision: "Feedback") -> str:
    """The command with which another person approves this decision."""
    return f"withdrawal-monitor decide approve {shlex.quote(decision.event_id)} --actor NAME --key-file FILE --reason TEXT"
