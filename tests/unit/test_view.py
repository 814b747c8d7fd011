"""The demo's view and the summary: the same facts on a terminal and in lines, each sentence once, bars that add up."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from monitor.outbox import OutputRecord
from streams.replay import Outputs, replay_file
from streams.settings import Settings
from streams.summary import Story, answer, lines
from streams.view import BAR_CELLS, PlainView, Scene, bar, facts, picture
from streams.words import grouped, moment, moment_in_japan

GOLDEN = Path(__file__).parents[1] / "golden" / "dmm-bitcoin-2024.jsonl.gz"


@pytest.fixture(scope="module")
def story() -> Story:
    """The story of the golden replay, caught as it was told."""
    caught: list[Story] = []
    with pytest.MonkeyPatch.context() as patch:
        take = Outputs.take

        def caught_take(self: Outputs, records: list[OutputRecord]) -> None:
            if not caught:
                caught.append(self.story)
            take(self, records)

        patch.setattr(Outputs, "take", caught_take)
        replay_file(GOLDEN, Settings())
    return caught[0]


@pytest.fixture
def scene(story: Story) -> Scene:
    scene = Scene("a title")
    scene.story, scene.stage, scene.seconds = story, "incident dmm-bitcoin-2024", 31.5
    scene.sent, scene.sent_per_second, scene.decided_per_second, scene.journal_lag = 2_063, 300.4, 40.0, 3
    scene.latencies_ms.extend(float(number) for number in range(100))
    scene.say("The exchange notices")
    return scene


def test_the_picture_shows_reserve_incident_and_reasons(scene: Scene) -> None:
    out = io.StringIO()
    Console(file=out, width=140, height=50, force_terminal=False).print(picture(scene))
    shown = out.getvalue()
    print(shown)
    for part in (
        "a title",
        "Reserve",
        "guarantee-btc",
        "0 BTC free",
        "48,200,000,000 JPY marked",
        "CRITICAL",
        "because redirect",
        "HOLD 1",
        "notices",
    ):
        assert part in shown


def test_a_scene_without_anything_can_be_shown() -> None:
    empty = Scene("nothing yet")
    Console(file=io.StringIO(), width=80).print(picture(empty))
    assert facts(empty) == ["starting", "0 events/s in, 0 verdicts/s", "no verdict yet"]


def test_lines_say_each_sentence_once(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    view = PlainView()
    view.show(scene)
    view.show(scene)
    scene.seconds += 6.0
    scene.say("PAGE")
    view.show(scene)
    view.close()
    shown = capsys.readouterr().out
    assert shown.count("The exchange notices") == 1
    assert shown.count("PAGE") == 1
    assert shown.count("3 entries behind") == 2
    assert "event to verdict 50 ms (p50) 99 ms (p99)" in shown


@pytest.mark.parametrize(
    ("free", "held", "total", "cells"),
    [(0, 0, 0, (0, 0)), (10, 0, 10, (44, 0)), (0, 10, 10, (0, 44)), (5, 5, 10, (22, 22)), (1, 2, 10**40, (0, 0)), (5, 5, 20, (11, 11))],
)
def test_bars_add_up(free: int, held: int, total: int, cells: tuple[int, int]) -> None:
    text = bar(free, held, total)
    assert len(text.plain) == BAR_CELLS
    assert (text.plain.count("█"), text.plain.count("▒")) == cells


def test_the_answer_says_when_it_is_not_covered(story: Story) -> None:
    summary = story.summary()
    assert next(answer(summary)).startswith("Was anything taken?  YES")
    uncovered = summary.coverage[-1]._replace(uncovered="1234567")
    import msgspec

    told = list(lines(msgspec.structs.replace(summary, coverage=[*summary.coverage, uncovered])))
    assert told[2] == "Is it covered?       NO: 1,234,567 JPY are carried by no layer."


def test_amounts_and_times_for_people() -> None:
    assert grouped("48200000000") == "48,200,000,000"
    assert grouped("4502.9") == "4,502.9"
    assert grouped(None) == "?"
    assert (moment(None), moment(None, "not told")) == ("", "not told")
    assert moment(1_717_129_560_000) == "2024-05-31 04:26:00"
    assert moment_in_japan(1_717_171_200_000) == "2024-06-01 01:00", "another day there"
    assert moment(10**17) == f"{10**17} ms", "no calendar has it"
