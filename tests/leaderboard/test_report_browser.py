"""The report in a real browser: it sorts, plays, fits a phone, and asks the network for nothing."""

import pytest

from reidkit.leaderboard.report import data
from reidkit.leaderboard.report.page import report_page


@pytest.fixture
def show(browser, scored, tmp_path):
    """`show(width, **options)` -> an open page of two models on two benches; what goes wrong is in `page.faults`."""
    open_contexts = []

    def make(width=1280, **options):
        results = [
            scored("a-model", 1),
            scored("resnet50", 2),
            scored("a-model-with-a-name-that-fills-a-phone/and-a-variant", 3, sampling="spread"),
        ]
        problems = [f"'{'results/' * 20}half.json' is no whole JSON file."]
        path = tmp_path / "report.html"
        path.write_text(report_page(data.gather(results, problems)))
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        open_contexts.append(context)
        page = context.new_page()
        page.faults = []
        page.on("console", lambda message: page.faults.append(message.text))
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("request", lambda r: r.url.startswith(("file:", "data:")) or page.faults.append(r.url))
        page.goto(path.as_uri())
        return page

    yield make
    for context in open_contexts:
        context.close()


def column(page, table, index):
    """The texts of a table's column, from top to bottom."""
    return page.locator(table).first.evaluate(
        "(table, index) => [...table.tBodies[0].rows].map(row => row.cells[index].innerText.trim())", index
    )


def test_a_click_sorts_a_second_turns_a_third_restores(show):
    page = show()
    table = "table.sort:has-text('iLIDS-VID')"
    first = column(page, table, 5)  # LS-VID's mAP, which some papers don't give
    assert "" in first
    head = page.locator(table).first.get_by_role("button", name="mAP").last
    orders = []
    for _ in range(3):
        head.click()
        orders.append(column(page, table, 5))
    figures = [sorted((float(x) for x in first if x), reverse=down) for down in (True, False)]
    blanks = [""] * first.count("")
    assert [float(x) for x in orders[0] if x] == figures[0]
    assert orders[0] != first
    assert [float(x) for x in orders[1] if x] == figures[1]
    assert orders[2] == first
    for order in orders[:2]:  # rows without a figure stay below, whichever way
        assert order[len(order) - len(blanks) :] == blanks
    page.locator(table).first.get_by_role("button", name="Model").click()
    names = column(page, table, 0)
    assert names == sorted(names, key=str.lower)
    assert not page.faults


def test_no_sideways_scrolling(show):
    page = show()
    for opened in (False, True):
        if opened:
            page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        for width in (1280, 768, 400, 320):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not page.faults


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system(show, scheme):
    page = show(color_scheme=scheme)
    red = int(page.evaluate("getComputedStyle(document.body).backgroundColor").split("(")[1].split(",")[0])
    assert (red > 127) == (scheme == "light")


def test_a_tracklet_plays_under_the_pointer_and_in_focus(show):
    page = show()
    crop = page.locator(".crops .crop").first

    def places(wanted):
        """Where the strip stood until `wanted` places were seen, or 4 seconds were over."""
        return crop.evaluate(
            """async (element, wanted) => {
                const seen = new Set();
                for (let i = 0; i < (wanted > 1 ? 160 : 8) && seen.size < Math.max(wanted, 2); i++) {
                    seen.add(parseFloat(getComputedStyle(element).backgroundPositionX));
                    await new Promise(done => setTimeout(done, 25));
                }
                return [...seen].sort((a, b) => a - b);
            }""",
            wanted,
        )

    every = [0, 20, 40, 60, 80, 100]  # each frame of the strip whole, none half
    assert places(1) == [0]
    crop.hover()
    assert places(6) == every
    page.mouse.move(0, 0)
    assert places(1) == [0]
    crop.focus()
    assert places(6) == every
    assert not page.faults


def test_every_strip_is_a_picture(show):
    page = show()
    sizes = page.evaluate(
        """async () => Promise.all([...document.querySelectorAll('.block .crop')].map(async crop => {
            const image = new Image();
            image.src = getComputedStyle(crop).backgroundImage.slice(5, -2);
            await image.decode();
            return [image.naturalWidth, image.naturalHeight];
        }))"""
    )
    assert sizes
    assert {tuple(size) for size in sizes} == {(6 * 72, 144)}


def test_right_and_wrong_differ_without_colour(show):
    page = show()
    style = "element => getComputedStyle(element.querySelector('.crop')).outlineStyle"
    right, wrong = page.locator("li.right").first, page.locator("li.wrong").first
    assert (right.evaluate(style), wrong.evaluate(style)) == ("solid", "dashed")
    assert ("✓" in right.inner_text(), "✗" in wrong.inner_text()) == (True, True)
    assert "right" in right.locator(".crop").get_attribute("aria-label")


def test_a_figure_opens_the_run_behind_it(show):
    page = show()
    link = page.locator("table.sort td a").first
    target = link.get_attribute("href")
    assert page.locator(f"[id='{target[1:]}']").get_attribute("open") is None
    link.click()
    page.wait_for_function("id => document.getElementById(id).open", arg=target[1:])
    assert page.locator(f"[id='{target[1:]}'] pre").is_visible()


def test_the_chart_tells_the_rank_under_the_pointer(show):
    page = show()
    chart = page.locator(".chart").first
    chart.scroll_into_view_if_needed()
    before = chart.locator("tbody .at").all_inner_texts()
    box = chart.locator("svg").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.99, box["y"] + box["height"] / 2)
    assert chart.locator("thead .at").inner_text() == "R50"
    assert set(chart.locator("tbody .at").all_inner_texts()) == {"100.0"}
    page.mouse.move(0, 0)
    assert chart.locator("thead .at").inner_text() == "R1"
    assert chart.locator("tbody .at").all_inner_texts() == before
    assert not page.faults
