"""The review page in a real browser, with its server."""

import json
import re
import time

import numpy as np
import pytest
from reviewable import SCRIPT, TRACKLETS, decided, reviewed, write_reviewable

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (the dev extra has it)").expect

WAIT = 15_000  # milliseconds, on a machine that does other things, too

pytestmark = pytest.mark.usefixtures("browser")


@pytest.fixture
def dataset(tmp_path, make_jpeg):
    return write_reviewable(tmp_path / "small", make_jpeg, np.random.default_rng(0))


@pytest.fixture
def window(browser):
    """`window(address)` -> an open page; another one with `beside=page` is a second window of the same browser."""
    contexts = []

    def open_(address, beside=None, **options):
        if beside is None:
            contexts.append(browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | options)))
        page = (beside.context if beside else contexts[-1]).new_page()
        page.set_default_timeout(WAIT)
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("dialog", lambda dialog: (page.faults.append(dialog.message), dialog.dismiss()))
        page.on("console", lambda message: "Content Security" in message.text and page.faults.append(message.text))
        page.on("request", lambda r: r.url.startswith("http://127.0.0.1:") or page.faults.append(r.url))
        page.goto(address)
        page.wait_for_selector(".card")
        return page

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture
def opened(dataset, window):
    """A page of the small dataset, at its first question: are identities 1 and 2 one person?"""
    with reviewed(dataset) as (address, _):
        page = window(address)
        yield page
        assert page.faults == []


def see(page, selector, count=None, text=None):
    """Waits until what the selector finds is there that often, or has that text."""
    found = page.locator(selector, has_text=text) if text else page.locator(selector)
    if count is None:
        found.first.wait_for(state="attached")
    else:
        expect(found).to_have_count(count, timeout=WAIT)


def reads(page, selector, text):
    """Waits until what the selector finds has that text, and no other."""
    expect(page.locator(selector)).to_have_text(text, timeout=WAIT)


def said(page, text):
    """Waits until the page says so."""
    see(page, "#said .line", text=text)


def becomes(page, read, wanted):
    """Waits until `read()` gives what is wanted."""
    end = time.monotonic() + WAIT / 1000
    while read() != wanted and time.monotonic() < end:
        page.wait_for_timeout(20)
    assert read() == wanted


def people(page):
    return sorted(page.locator("#list .row .name").all_inner_texts())


def cards(page):
    return page.locator("#sheet .card").evaluate_all("cards => cards.map(card => card.dataset.tracklet)")


def hold(page, address):
    """A list of the requests to an address that wait for their answer, as they come."""
    held = []
    page.route(address, lambda route: held.append(route))
    return held


def has_people(page, *names):
    becomes(page, lambda: people(page), sorted(names))


def has_cards(page, *ids):
    """Waits until the sheet shows these, in this order."""
    becomes(page, lambda: cards(page), list(ids))


def show(page, identity):
    page.click(f"#row-{identity}")
    see(page, "#title h2", text=f"Identity {identity}")


def test_a_merge_is_on_disk_when_the_page_says_so_and_can_be_undone(opened, dataset):
    reads(opened, ".wording", "Are identities 1 and 2 one person?")
    has_cards(opened, "b", "a")
    opened.keyboard.press("y")
    said(opened, "Identity 1 and Identity 2 are one person.")
    (line,) = decided(dataset)
    assert (line["do"], {TRACKLETS[id_][0] for id_ in line["tracklets"]}) == ("merge", {1, 2})
    has_people(opened, "Identity 1", "Identity 3", "Identity 4")
    opened.keyboard.press("Control+z")
    said(opened, "Undone.")
    see(opened, "#list .row .name", count=4)
    opened.keyboard.press("Control+Shift+Z")
    said(opened, "Done again.")
    see(opened, "#list .row .name", count=3)


def test_no_means_different_people_and_skip_asks_the_next(opened, dataset):
    opened.keyboard.press("s")
    see(opened, ".wording", count=0, text="1 and 2")
    opened.reload()
    opened.wait_for_selector(".card")
    opened.keyboard.press("q")
    opened.wait_for_selector("[data-action=no]")
    opened.keyboard.press("n")
    said(opened, "Identity 1 and Identity 2 are different people.")
    assert decided(dataset)[0]["do"] == "different"


def test_a_stray_is_shown_and_taken_in(opened, dataset):
    def with_stray(route):
        state = route.fetch().json()
        (about,) = opened.request.get(f"{opened.url.split('#')[0]}api/nobody/junk").json()["tracklets"]
        stray = {"kind": "stray", "identities": [3], "tracklets": ["g"], "about": [about], "probability": 0.6}
        route.fulfill(json=state | {"questions": [stray | {"text": "Does this belong to identity 3?"}]})

    opened.route("**/api/state", with_stray)
    opened.reload()
    see(opened, ".card")
    opened.keyboard.press("q")
    see(opened, ".stray .card.doubtful", count=1)
    becomes(opened, lambda: sorted(cards(opened)), ["e", "f", "g"])
    opened.unroute("**/api/state")
    opened.keyboard.press("y")
    said(opened, "1 tracklet went to Identity 3.")
    assert decided(dataset) == [{"do": "identity", "tracklets": ["g"], "identity": 3}]


def test_chosen_tracklets_split_off_and_go_to_junk(opened, dataset):
    show(opened, 4)
    opened.click("#sheet .card >> nth=1")
    opened.keyboard.press("x")
    said(opened, "1 tracklet split off.")
    assert decided(dataset) == [{"do": "split", "tracklets": ["i"]}]
    has_cards(opened, "h")
    show(opened, 3)
    opened.click("#sheet .card >> nth=0")
    opened.click("#sheet .card >> nth=1", modifiers=["Shift"])
    reads(opened, ".chosen-count", "2 chosen")
    opened.keyboard.press("j")
    said(opened, "2 tracklets put to junk.")
    opened.click("#nobody-junk")
    see(opened, "#sheet .card", count=3)
    becomes(opened, lambda: sorted(cards(opened)), ["e", "f", "g"])


def test_a_frame_drawn_around_cards_chooses_them(opened):
    first, last = (opened.locator("#sheet .card").nth(k).bounding_box() for k in (0, 1))
    opened.mouse.move(last["x"] + last["width"] - 5, last["y"] + last["height"] - 5)
    opened.mouse.down()
    opened.mouse.move(first["x"] + 5, first["y"] + 5, steps=4)
    opened.mouse.up()
    see(opened, ".card[aria-selected=true]", count=2)
    opened.keyboard.press("Escape")
    see(opened, ".card[aria-selected=true]", count=0)


def test_a_tracklet_is_cut_at_a_frame(opened, dataset):
    show(opened, 4)
    opened.focus("#sheet .card")
    opened.keyboard.press("f")
    opened.wait_for_selector("dialog .after img")
    opened.keyboard.press("ArrowRight")
    reads(opened, ".split-words", re.compile("^Frame 80: 4 crops stay, 2 crops leave"))
    opened.keyboard.press("Enter")
    said(opened, "Split at frame 80.")
    assert decided(dataset) == [{"do": "split", "tracklets": ["h"], "frame": 80}]


def test_a_conflict_names_its_reason_and_shows_both(opened, dataset):
    show(opened, 3)
    opened.wait_for_selector("#beside .pair-head")
    reads(opened, "#beside .why", re.compile("north"))
    opened.keyboard.press("m")
    opened.wait_for_selector("dialog figure >> nth=1")
    reads(opened, "dialog .why", re.compile("north"))
    captions = opened.locator("dialog figcaption")
    becomes(opened, lambda: {text.split("\n")[0] for text in captions.all_inner_texts()}, {"Identity 1", "Identity 3"})
    opened.keyboard.press("Escape")
    see(opened, "dialog", count=0)
    assert decided(dataset) == []
    see(opened, "#list .row .name", count=4)


def test_two_windows_see_each_other_and_overwrite_nothing(opened, window, dataset):
    other = window(opened.url, beside=opened)

    def late(route):  # as a window that hasn't heard yet
        route.continue_(post_data=json.dumps(json.loads(route.request.post_data) | {"revision": 0}))

    other.route("**/api/decide", late)
    opened.keyboard.press("y")
    said(opened, "are one person.")
    said(other, "Identities 1 and 2 are one person.")
    see(other, "#list .row", count=3)
    other.click("#row-1")
    see(other, "#sheet .card", count=4)
    other.keyboard.press("c")
    said(other, "Not saved")
    assert [line["do"] for line in decided(dataset)] == ["merge"]
    assert other.faults == []


def test_a_reload_shows_the_same(opened):
    show(opened, 4)
    opened.keyboard.press("r")
    opened.keyboard.type("17")
    opened.keyboard.press("Enter")
    said(opened, "Identity 4 is 17.")
    opened.reload()
    opened.wait_for_selector(".card")
    reads(opened, "#title h2", "17")
    has_cards(opened, "h", "i")


def test_when_the_server_is_killed_nothing_is_said_to_be_saved(dataset, window):
    with reviewed(dataset) as (address, process):
        page = window(address)
        page.keyboard.press("y")
        said(page, "are one person.")
        process.kill()
        page.wait_for_selector("#banner:not([hidden])")
        reads(page, "#banner", re.compile("No connection"))
        page.keyboard.press("c")
        said(page, "Not saved")
        port = int(address.split(":")[2].split("/")[0])
    with reviewed(dataset, port) as (again, _):
        see(page, "#banner", text="Open the address")
        page.goto(again)
        page.wait_for_selector(".card")
        expect(page.locator("#banner")).to_be_hidden(timeout=WAIT)
        see(page, "#list .row .name", count=3)
    assert [line["do"] for line in decided(dataset)] == ["merge"]


def test_script_in_names_and_captions_is_text(opened):
    show(opened, 1)
    opened.keyboard.press("r")
    opened.keyboard.type(SCRIPT)
    opened.keyboard.press("Enter")
    said(opened, f"Identity 1 is {SCRIPT}.")
    reads(opened, "#title h2", SCRIPT)
    opened.wait_for_selector("#beside .caption")
    becomes(opened, lambda: SCRIPT in opened.locator("#beside .caption").all_text_contents(), True)
    opened.keyboard.press("t")
    expect(opened.locator("dialog textarea").first).to_have_value(SCRIPT, timeout=WAIT)
    assert opened.evaluate("document.querySelectorAll('main script, dialog script, img[onerror], [src=x]').length") == 0


def test_keyboard_alone(opened, dataset):
    def focus(on):
        becomes(
            opened, lambda: opened.evaluate("document.activeElement.dataset.tracklet ?? document.activeElement.id"), on
        )

    opened.keyboard.press("/")
    opened.keyboard.type("heat")
    opened.keyboard.press("Enter")
    see(opened, "#title h2", text="Identity 4")
    focus("list")
    opened.keyboard.press("g")
    focus("h")
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press(" ")
    focus("i")
    see(opened, ".card[aria-selected=true]", count=1)
    opened.keyboard.press("o")
    said(opened, "1 tracklet put to distractors.")
    focus("h")  # where it was is gone; not at the page's start
    opened.keyboard.press("c")
    said(opened, "Identity 4 is confirmed.")
    opened.keyboard.press("/")
    opened.keyboard.press("Control+a")
    opened.keyboard.press("Delete")
    opened.keyboard.press("Escape")
    opened.keyboard.press("i")
    opened.keyboard.press("Home")
    see(opened, "#time-tracks", text="7 tracks")
    opened.keyboard.press("l")
    for key in ("ArrowRight", "ArrowDown", "ArrowRight", "Enter"):
        opened.keyboard.press(key)
    see(opened, ".card:focus")
    opened.keyboard.press("?")
    opened.wait_for_selector("dialog .keys")
    reads(opened, "dialog", re.compile("Undo"))
    opened.keyboard.press("Escape")
    assert [line["do"] for line in decided(dataset)] == ["distractor", "confirm"]
    announced = opened.evaluate("[...document.querySelectorAll('[aria-live], [role=status], [role=alert]')].length")
    unnamed = opened.evaluate(
        """[...document.querySelectorAll('button, input, select, [role=option], [role=listbox], canvas')]
        .filter(e => !e.getAttribute('aria-label') && !e.textContent.trim()).map(e => e.outerHTML)"""
    )
    assert (announced >= 3, unnamed) == (True, [])


def test_a_caption_in_doubt_is_accepted(opened, dataset):
    show(opened, 1)
    opened.select_option("#which", "captions")
    has_people(opened, "Identity 1")
    opened.keyboard.press("Escape")
    opened.keyboard.press("t")
    reads(opened, "dialog .why", re.compile("too short"))
    opened.keyboard.press("Control+Enter")
    said(opened, "The caption is accepted.")
    assert decided(dataset) == [{"do": "caption", "tracklets": ["a"], "text": SCRIPT}]
    see(opened, "#list .row", count=0)


def test_the_same_person_in_another_event(opened, dataset):
    show(opened, 4)
    opened.keyboard.press("e")
    opened.wait_for_selector("dialog .pick")
    opened.keyboard.type("2")
    see(opened, "dialog .pick", count=1)
    opened.keyboard.press("Tab")
    opened.keyboard.press("Enter")
    said(opened, "are one person.")
    assert decided(dataset)[0]["do"] == "merge"
    see(opened, "#title", text="final, heat")


def test_a_tracklet_plays_under_the_pointer_unless_less_motion_is_wanted(opened):
    def pictures(wanted):
        return opened.locator("#sheet .card").first.evaluate(
            """async (card, wanted) => {
                const seen = new Set();
                for (let i = 0; i < (wanted > 1 ? 200 : 12) && seen.size < wanted; i++) {
                    seen.add(card.querySelector('img').getAttribute('src'));
                    await new Promise(done => setTimeout(done, 20));
                }
                return seen.size;
            }""",
            wanted,
        )

    opened.hover("#sheet .card")
    assert pictures(3) == 3
    opened.mouse.move(0, 0)
    opened.emulate_media(reduced_motion="reduce")
    opened.hover("#sheet .card")
    assert pictures(1) == 1


def test_nothing_is_cut_off_at_any_width_light_and_dark(opened):
    cut = """[...document.querySelectorAll('#top button, #actions button, .wording, #filters *, .doubt, .row .bars')]
        .filter(e => {
            const [b, o] = [e, e.closest('header > *, nav, section')].map(e => e.getBoundingClientRect());
            return b.width && (b.left < o.left - 1 || b.right > o.right + 1 || b.bottom > innerHeight);
        }).map(e => e.outerHTML)"""
    for width, scheme in ((1440, "light"), (1440, "dark"), (1024, "light"), (1024, "dark")):
        opened.set_viewport_size({"width": width, "height": 768})
        opened.emulate_media(color_scheme=scheme)
        overflows = f"document.documentElement.scrollWidth > {width}"
        becomes(opened, lambda overflows=overflows: opened.evaluate(overflows), False)
        becomes(opened, lambda: opened.evaluate(cut), [])
        red = int(opened.evaluate("getComputedStyle(document.body).backgroundColor").split("(")[1].split(",")[0])
        assert (red > 127) == (scheme == "light")


@pytest.mark.parametrize(("click", "asks"), [("#row-4", 4), ("#nearest .near", 2)])
def test_what_another_decides_is_shown_whatever_is_clicked_meanwhile(opened, window, click, asks):
    other = window(opened.url, beside=opened)
    show(opened, 1)
    see(opened, "#nearest .near")
    held = hold(opened, "**/api/state")
    other.keyboard.press("c")
    becomes(opened, lambda: len(held), 1)
    with opened.expect_response(f"**/api/identity/{asks}"):
        opened.click(click)
    opened.wait_for_timeout(50)
    held[0].continue_()
    see(opened, "#row-1 .sure")
    if asks == 4:
        reads(opened, "#title h2", "Identity 4")
    else:
        see(opened, "#title .badge.sure")
        reads(opened, "#beside h3.other", "Identity 2")


def test_a_connection_lost_while_a_decision_is_on_its_way_comes_back(opened):
    streams = hold(opened, "**/api/changes*")
    opened.reload()
    becomes(opened, lambda: len(streams), 1)
    decisions = hold(opened, "**/api/decide")
    opened.wait_for_selector("[data-action=confirm]")
    opened.keyboard.press("c")
    becomes(opened, lambda: len(decisions), 1)
    news = {"revision": 0, "by": "machine", "text": "", "identities": []}
    streams[0].fulfill(content_type="text/event-stream", body=f"data: {json.dumps(news)}\n\n")
    expect(opened.locator("#banner")).to_be_visible(timeout=WAIT)
    opened.unroute("**/api/changes*")
    decisions[0].fulfill(status=400, json={"error": "Not that."})
    said(opened, "Not that.")
    expect(opened.locator("#banner")).to_be_hidden(timeout=WAIT)


def test_the_timeline_shows_the_event_that_was_chosen_last(opened):
    see(opened, "#time-tracks", text="7 tracks")
    held = hold(opened, "**/api/timeline/heat")
    opened.select_option("#time-tools select", "heat")
    becomes(opened, lambda: len(held), 1)
    opened.click("#time-tools [aria-label='Whole event']")  # of what is still drawn
    with opened.expect_response("**/api/timeline/final"):
        opened.select_option("#time-tools select", "final")
    opened.wait_for_timeout(100)
    with opened.expect_response("**/api/timeline/heat"):
        held[0].continue_()
    opened.wait_for_timeout(100)
    reads(opened, "#time-tracks", "7 tracks")
    expect(opened.locator("#time-tools select")).to_have_value("final", timeout=WAIT)


def test_a_timeline_that_could_not_be_loaded_is_asked_for_again(opened):
    see(opened, "#time-tracks", text="7 tracks")
    show(opened, 3)
    opened.route("**/api/timeline/*", lambda route: route.abort())
    opened.keyboard.press("r")
    opened.keyboard.type("7")
    with opened.expect_event("requestfailed", lambda request: "/api/timeline/" in request.url):
        opened.keyboard.press("Enter")
    said(opened, "Identity 3 is 7.")
    opened.unroute("**/api/timeline/*")
    with opened.expect_response("**/api/timeline/final"):
        show(opened, 2)


def test_a_screen_reader_hears_100_only_of_what_is_certain(opened):
    def nearly(route):
        state = route.fetch().json()
        state["identities"] = [one | {"pure": 0.996, "whole": 1} for one in state["identities"]]
        route.fulfill(json=state)

    opened.route("**/api/state", nearly)
    opened.reload()
    expect(opened.locator("#row-1")).to_have_attribute(
        "aria-label", re.compile("pure 99, whole 100 percent"), timeout=WAIT
    )


def test_a_decision_about_what_has_changed_since_it_was_shown_is_not_taken(opened, window, dataset):
    other = window(opened.url, beside=opened)
    with opened.expect_response("**/api/identity/2"):
        opened.click("#row-1")
    held = hold(opened, "**/api/identity/1")
    with opened.expect_response("**/api/state"):
        other.keyboard.press("y")
    becomes(opened, lambda: len(held), 1)  # the state is there; the tracklets are still those of before
    opened.keyboard.press("c")
    said(opened, "Not saved")
    assert [line["do"] for line in decided(dataset)] == ["merge"]
    opened.unroute("**/api/identity/1")  # those that wait go on
    see(opened, "#sheet .card", count=4)
    opened.keyboard.press("c")
    said(opened, "Identity 1 is confirmed.")
