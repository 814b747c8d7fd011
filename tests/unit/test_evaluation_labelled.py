"""What each column becomes in an observation, whatever type it came in."""

import datetime as dt
import decimal
import pathlib
from typing import Any

import numpy as np
import pytest

from detectors.contract import NO_ROW
from monitor.scoring import SHARE_MAX, digest
from streams.evaluation.labelled import Labelled, parse_columns, read
from streams.refusals import RefusedError

pa = pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra `study`")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow, of the extra `study`")

NEEDED = "time=at,account=who,destination=to,amount=units,label=bad"
NOON_MS = 1_704_110_400_000  # 2024-01-01 12:00 UTC


def observed(tmp_path: pathlib.Path, more: str = "", unit: str | None = None, **columns: Any) -> Labelled:
    given: dict[str, Any] = {"at": [1_704_110_400, 1_704_110_401, 1_704_110_402], "who": [7, 8, 7], "to": ["x", "y", "x"]}
    given |= {"units": [1.0, 2.0, 4.0], "bad": [0, 1, 0]} | columns
    path = tmp_path / "data.parquet"
    parquet.write_table(pa.table(given), path)
    return read(path, parse_columns(NEEDED + more), unit)


@pytest.mark.parametrize(
    "at",
    [
        [1_704_110_400, 1_704_110_401, 1_704_110_402],
        [1_704_110_400.0, 1_704_110_401.0, 1_704_110_402.0],
        [1_704_110_400_000, 1_704_110_401_000, 1_704_110_402_000],
        [1_704_110_400_000_000, 1_704_110_401_000_000, 1_704_110_402_000_000],
        [1_704_110_400_000_000_000, 1_704_110_401_000_000_000, 1_704_110_402_000_000_000],
        ["1704110400", "1704110401", "1704110402"],
        ["2024-01-01 12:00:00", "2024-01-01T12:00:01", "2024-01-01T13:00:02+01:00"],
        ["2024-01-01T12:00:00Z", "2024-01-01T12:00:01.000Z", "2024-01-01T12:00:02+00:00"],
        np.array([NOON_MS, NOON_MS + 1_000, NOON_MS + 2_000], "datetime64[ms]").astype("datetime64[ns]"),
        [dt.datetime(2024, 1, 1, 13, 0, second, tzinfo=dt.timezone(dt.timedelta(hours=1))) for second in range(3)],
    ],
    ids=str,
)
def test_times(at: Any, tmp_path: pathlib.Path) -> None:
    assert observed(tmp_path, at=at).times_ms.tolist() == [NOON_MS, NOON_MS + 1_000, NOON_MS + 2_000]


def test_a_unit_that_is_given_is_taken(tmp_path: pathlib.Path) -> None:
    """Seconds from the start of a simulation."""
    assert observed(tmp_path, unit="s", at=[31, 130, 476]).times_ms.tolist() == [31_000, 130_000, 476_000]


@pytest.mark.parametrize("bad", [[0, 1, 0], [False, True, False], [0.0, 1.0, 0.0], ["0", "1", "0"], ["false", "True", "0.0"]], ids=str)
def test_labels(bad: list[Any], tmp_path: pathlib.Path) -> None:
    assert observed(tmp_path, bad=bad).frauds.tolist() == [False, True, False]


@pytest.mark.parametrize(
    "units", [[1, 2, 4], ["1", "2.0", "4"], [decimal.Decimal("1.00"), decimal.Decimal("2.00"), decimal.Decimal("4.00")]], ids=str
)
def test_amounts(units: list[Any], tmp_path: pathlib.Path) -> None:
    run = observed(tmp_path, units=units).run
    assert run["amount"].tolist() == run["amount_base"].tolist() == [1.0, 2.0, 4.0]


def test_an_amount_of_nothing_is_half_of_the_smallest(tmp_path: pathlib.Path) -> None:
    data = observed(tmp_path, units=[0.0, 2.0, 4.0])
    assert data.run["amount"].tolist() == [1.0, 2.0, 4.0]
    assert data.notes == ["1 amounts of 0 were taken as 1, half of the smallest."]


def test_rows_count_names_and_what_is_not_given_is_unknown(tmp_path: pathlib.Path) -> None:
    data = observed(tmp_path, who=pa.array(["b", "a", "b"]).dictionary_encode())
    run = data.run
    assert (run["account"].tolist(), run["address"].tolist(), run["asset"].tolist()) == ([0, 1, 0], [0, 1, 0], [0, 0, 0])
    assert data.rows == {"account": 2, "address": 2, "asset": 1}
    assert set(run["wallet"]) == set(run["provider"]) == {NO_ROW}
    assert set(run["device"]) == set(run["second_factor"]) == {0}
    assert set(run["security_age_ms"]) == {-1}
    assert np.isnan(run["balance_share"]).all()


def test_further_columns(tmp_path: pathlib.Path) -> None:
    more = (
        ",asset=coin,amount_base=yen,device=phone,country=land,wallet=source,provider=by,balance=held,wallet_share=part"
        ",security_age_ms=since,second_factor=factor"
    )
    data = observed(
        tmp_path, more,
        coin=["BTC", "ETH", "BTC"], yen=[10.0, None, 0.0], phone=[5, None, 6], land=["JP", "JP", None], by=[None, "p", "q"], part=[0.5, None, 2.0],
        held=[4.0, None, 0.0], since=[5_000, None, -1], factor=["sms", None, "passkey"], source=["w", None, "w"],
    )  # fmt: skip
    run = data.run
    assert run["asset"].tolist() == [0, 1, 0]
    assert np.array_equal(run["amount_base"], [10.0, np.nan, np.nan], equal_nan=True)
    assert run["device"].tolist() == [digest("5"), 0, digest("6")]
    assert run["country"].tolist() == [digest("JP"), digest("JP"), 0]
    assert (run["wallet"].tolist(), run["provider"].tolist()) == ([0, NO_ROW, 0], [NO_ROW, 0, 1])
    assert np.array_equal(run["balance_share"], [0.25, np.nan, SHARE_MAX], equal_nan=True)
    assert np.array_equal(run["wallet_share"], [0.5, np.nan, 2.0], equal_nan=True)
    assert run["security_age_ms"].tolist() == [5_000, -1, -1]
    assert run["second_factor"].tolist() == [2, 0, 4]
    assert data.rows == {"account": 2, "address": 2, "asset": 2, "wallet": 1, "provider": 2}
    assert data.notes == []


def test_amounts_across_assets_are_said_to_be_of_one_currency(tmp_path: pathlib.Path) -> None:
    data = observed(tmp_path, ",asset=coin", coin=["BTC", "ETH", "BTC"])
    assert data.notes == ["Amounts are taken as of one currency across the 2 assets; if they aren't, give amount_base."]


@pytest.mark.parametrize(
    ("more", "columns", "sentence"),
    [
        (",balance=held", {"held": [1.0, -1.0, 1.0]}, "Row 2 has a negative balance (column held): '-1.0'."),
        (",amount_base=yen", {"yen": [1.0, 1.0, 1e30]}, "Row 3 has an absurd amount_base, above 1e+18 (column yen): '1e+30'."),
        (",wallet_share=part", {"part": [1.0, float("nan"), 1.0]}, "Row 2 has a wallet_share that isn't finite (column part): 'nan'."),
        (",security_age_ms=since", {"since": [-2, 0, 0]}, "Row 1 has an absurd security_age_ms (column since): '-2'."),
        (
            ",second_factor=factor",
            {"factor": ["sms", "smoke", "sms"]},
            "Row 2 has a second_factor that is none of unknown, none, sms, totp, passkey (column factor): 'smoke'.",
        ),
        (
            ",device=phone",
            {"phone": [[1], [2], [3]]},
            "The column phone of {} is of type list<element: int64>: numbers, text, booleans and times can be used.",
        ),
        ("", {"units": np.array([1, 2, 3], "datetime64[s]")}, "The column units holds times: amount needs numbers."),
        ("", {"bad": np.array([1, 2, 3], "datetime64[s]")}, "The column bad holds times: a label is 0 or 1."),
        (
            "",
            {"at": [0, 1, 2]},
            "Row 1 has an absurd time, outside 2000 to 2099 if its numbers are in s; --time-unit says otherwise (column at): '0'.",
        ),
    ],
)
def test_values_that_cannot_be(more: str, columns: dict[str, Any], sentence: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(RefusedError) as refused:
        observed(tmp_path, more, **columns)
    assert str(refused.value) == sentence.format(tmp_path / "data.parquet")


def test_a_unit_that_makes_no_sense_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RefusedError, match=r"^Row 1 has an absurd time, outside 1970 to 2099 \(column at\): '1704110400000'\.$"):
        observed(tmp_path, unit="s", at=[1_704_110_400_000] * 3)


def test_balance_and_its_share_exclude_each_other() -> None:
    with pytest.raises(RefusedError, match="give either balance or balance_share"):
        parse_columns(NEEDED + ",balance=a,balance_share=b")


@pytest.mark.parametrize("text", ["colour=c", "time"])
def test_what_no_column_is(text: str) -> None:
    with pytest.raises(RefusedError, match=r"^--columns: "):
        parse_columns(f"{NEEDED},{text}")
