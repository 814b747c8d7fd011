"""`audit`: prove that the journal is what the core has folded, keep the heads that prove it, and make the key that signs them."""

import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.failures import run_with_kafka
from streams.cli.given import given
from streams.cli.keeping import OutFile, keep
from streams.cli.printing import print_json, print_rows, say
from streams.refusals import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.audit import Verified

app = typer.Typer(help="Verify the journal against its signed heads.", no_args_is_help=True, rich_markup_mode=None)
FAILED = 1
"""Exit code of a verification that went through and didn't prove the journal."""
FOUND_SHOWN_MAX = 100


@app.command(epilog="Example: withdrawal-monitor audit verify journal.jsonl.gz --heads heads.jsonl --key core=3q2+7w...=")
def verify(
    context: typer.Context,
    journal: Annotated[
        pathlib.Path | None, typer.Argument(help="A file of `journal export`; the journal of the configured Kafka if not given.", show_default=False)
    ] = None,
    heads: Annotated[
        pathlib.Path | None, typer.Option("--heads", help="A file of `audit heads`; those of the configured Kafka if not given.")
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option("--key", metavar="NAME=BASE64", help="A public key that is trusted; audit.public_keys if none is given.")
    ] = None,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Be content with heads that nobody has signed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Compute the audit trail from the journal alone and compare it with the published heads: exit code 0 if it is proven, 1 if not."""
    from streams.audit import verify as verified_by
    from streams.replay_lines import FileRefusedError
    from streams.terminal import shown_count

    chosen = given(context)
    keys = _keys(key or [f"{name}={text}" for name, text in chosen.settings.audit.public_keys.items()])
    try:
        with shown_count("verified") as progress:
            body = verified_by(chosen.kafka(), keys, journal, heads, progress)
            verified = run_with_kafka(body, chosen.settings.kafka.bootstrap_servers)
    except FileRefusedError as error:
        raise RefusedError(str(error)) from error
    if as_json:
        print_json(verified)
    else:
        _show(verified)
    proven = _conclude(verified, keys, unsigned=unsigned, from_file=journal is not None)
    if not proven:
        raise typer.Exit(FAILED)


def _keys(given_keys: list[str]) -> "Mapping[str, bytes]":
    """Keys by name. Raises RefusedError."""
    from monitor.signatures import public_key

    keys = {}
    for text in given_keys:
        name, _, encoded = text.partition("=")
        key = public_key(encoded)
        if not name or key is None:
            raise RefusedError(f'A key is written as NAME=BASE64 with the 32 bytes of an Ed25519 public key; not "{text}".')
        keys[name] = key
    return keys


def _show(verified: "Verified") -> None:
    checked = verified.checked
    rows = [(found.kind.upper(), str(found.first_offset), str(found.last_offset), found.detail) for found in checked.found[:FOUND_SHOWN_MAX]]
    if len(checked.found) > FOUND_SHOWN_MAX:
        rows.append(("…", "", "", f"and {len(checked.found) - FOUND_SHOWN_MAX:,} more (--json shows all)"))
    rows += [(part.state, str(part.first_offset), str(part.last_offset), f"key {part.key}" if part.key else "") for part in checked.ranges]
    print_rows(("what", "first offset", "last offset", "detail"), rows)


def _conclude(verified: "Verified", keys: "Mapping[str, bytes]", *, unsigned: bool, from_file: bool) -> bool:
    """Say what it comes to; whether that is a proof."""
    checked = verified.checked
    if verified.heads.get("unknown key"):
        say(
            f"{verified.heads['unknown key']:,} published heads are signed with a key that isn't known, or wrongly{'' if keys else ' (give keys with --key)'}."
        )
    if verified.unreadable:
        say(f"{verified.unreadable:,} records of audit say that they are heads and can't be read.")
    name = f"Journal {checked.journal_id[:16]} with {checked.entries:,} entries"
    if not checked.intact:
        say(f"{name} is NOT what was published: {len(checked.found):,} finding(s).")
        if from_file and [found.kind for found in checked.found] == ["cut"]:
            say("If the heads were written after the journal's file, its end was only not there yet: write the file again, after the heads.")
        return False
    if checked.proven:
        newest = max(part.last_offset for part in checked.ranges if part.state == "as signed")
        say(f"{name} is what was signed, up to offset {newest}.")
        return True
    states = {part.state for part in checked.ranges}
    if "NO HEAD" in states:
        say(f"{name} isn't proven: whole blocks have no head. The core is behind, or heads were removed.")
    elif states == {"no head yet"}:
        say(f"{name} isn't proven: it is too short to have a head.")
    elif unsigned and states <= {"as signed", "as published, unsigned", "no head yet"}:
        say(f"{name} is what was published; not all of its heads are signed.")
        return True
    else:
        say(f"{name} is what was published, but that isn't proven: who can change a journal can publish heads that nobody signs (audit.signing_key).")
    return False


@app.command(epilog="Example: withdrawal-monitor audit heads heads.jsonl")
def heads(context: typer.Context, out: OutFile) -> None:
    """Write the published heads with their signatures to a file: keep it where those who can write to Kafka can't."""
    from streams.audit import write_heads

    say(f"{keep(given(context), out, write_heads):,} heads.")


@app.command(epilog="Example: withdrawal-monitor audit key /run/secrets/audit-key")
def key(out: Annotated[pathlib.Path, typer.Argument(help="File for the private key; it must not exist.", show_default=False)]) -> None:
    """Make a key for audit.signing_key: the private one goes to a file that only you can read, the public one is printed."""
    from streams.signing_keys import base64_text, make_key

    print(make_key(out, base64_text))
    say(f"Set audit.signing_key to file:{out} for the core, and give the printed key to those who verify.")
