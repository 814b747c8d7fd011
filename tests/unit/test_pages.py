"""Pages as HTML: what must not be broken stays whole, what is too long may be broken, a draft says why above every sheet."""

from streams.pages import Page, Section, Table, html_page, markdown, moment

HASH = "66ccc8c2d3249829ddea48346fd594f718831cd074fe7a69b9f66ffc02fe6a8d"
COLUMNS = ("when", "mark", "amount")
ROW = (moment(1_717_171_200_000), f"outflow:{HASH} e-1", "147.65909585")


def page(draft: str = "", rows: int = 1) -> Page:
    return Page(
        "Report", "Incident i-1", [Section("Amounts", ["One paragraph."], ["one point"], [Table(COLUMNS, [ROW] * rows, ("amount",), "All")])], draft
    )


def test_times_stay_whole_and_only_what_is_long_is_broken() -> None:
    told = html_page(page())
    assert '<td><span class="time">2024-05-31 16:00:00 UTC</span> <span class="time">(2024-06-01 01:00 Japan)</span></td>' in told
    assert f'<td class="long"><span class="long">outflow:{HASH}</span> e-1</td>' in told
    assert '<td class="number">147.65909585</td>' in told and '<th class="number">amount</th>' in told
    assert told.count("overflow-wrap: anywhere") == 2 and "span.long { overflow-wrap: anywhere }" in told, "the other is of text that is in no table"


def test_a_draft_says_why_in_the_head_that_every_sheet_repeats() -> None:
    told = html_page(page("marks are <b>suspected"))
    assert (
        '<div class="head"><div class="draft">DRAFT: marks are &lt;b&gt;suspected</div><div class="about">Incident i-1</div></div>\n<div class="rest">\n<h1>'
        in told
    )
    assert ".head { display: table-header-group" in told.partition("@media print")[2]
    assert markdown(page("marks are suspected")).startswith("> **DRAFT: marks are suspected. Nobody may act on it.**\n\n# Report\n\nIncident i-1\n")
    assert 'class="draft"' not in html_page(page()) and "DRAFT" not in markdown(page())


def test_a_table_has_its_caption_and_a_short_one_is_kept_together() -> None:
    assert '<table class="whole"><caption>All</caption>\n<thead>' in html_page(page(rows=12))
    assert "<table><caption>All</caption>\n<thead>" in html_page(page(rows=13))
    assert "\nAll:\n\n| when | mark | amount |\n| --- | --- | ---: |\n" in markdown(page())
