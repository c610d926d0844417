"""A map in the browser: fills, is zoomed, clicked through to the Lab and back; keys, phone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from layerscope.app import charting
from layerscope.app.figures.text import number
from layerscope.app.pages.maps.query import MapQuery
from layerscope.engine.diagnosis.run import result
from layerscope.engine.maps.plane import Plane
from tests.browser.serving import until
from tests.mapping import Here
from tests.serving import RunningServer

pytestmark = pytest.mark.browser

SMALL = (
    "x=init_scale&x_from=0.5&x_to=2&x_steps=5&x_scale=log&y=depth&y_values=1,2,3,4"
    "&outcome=last_std&width=8&batch=8"
)
CELLS = "document.querySelector('#chart-map .plot')?.data?.[0].z"
FILLED = (
    "document.querySelector('.map-progress.state-finished') "
    f"&& {CELLS}?.flat().every((v) => v !== null)"
)


@pytest.fixture(scope="module")
def asked_server(serve: Any, tmp_path_factory: Any) -> Iterator[RunningServer]:
    """A server whose maps are computed in its own threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charting, "Crew", Here)
        folder = tmp_path_factory.mktemp("maps")
        with serve(data_dir=folder, warm_up=False, max_maps=8) as running:
            yield running


def begin(page: Page, url: str, query: str = SMALL) -> None:
    page.goto(f"{url}/maps?{query}")
    page.evaluate("document.querySelector('#maps').dataset.before = 'Compute'")
    page.get_by_role("button", name="Compute", exact=True).click()
    # A map that an earlier test computed stands there already: the answer replaces it.
    until(page, "!document.querySelector('#maps').dataset.before")
    until(page, FILLED)
    until(page, "document.querySelector('#map-key').dataset.theory")


def mapped(page: Page) -> Plane:
    """The plane that the page's address says."""
    plane = MapQuery.read(parse_qsl(urlsplit(page.url).query)).plane
    assert plane
    return plane


def test_a_map_fills_with_the_labs_numbers(blank: Page, url: str) -> None:
    begin(blank, url)
    plane = mapped(blank)
    lab = [
        [
            [x for x in result(plane.experiment(row, column), check=False, fixes=False)["layers"]
             if x["block"] == depth][-1]["activation"]["std"]
            for column in range(5)
        ]
        for row, depth in enumerate(plane.y.values)
    ]  # fmt: skip
    drawn = blank.evaluate(CELLS)
    assert np.array(drawn) == pytest.approx(np.log10(lab), abs=1e-9)
    blank.get_by_text("The numbers as a table").click()
    rows = blank.locator("#map-table tbody tr").all()
    assert [row.locator("td").all_text_contents() for row in rows] == [
        [number(v) for v in row] for row in lab
    ]


def test_where_nothing_is_drawn_yet_a_button_begins(blank: Page, url: str) -> None:
    blank.set_viewport_size({"width": 1024, "height": 768})
    blank.goto(f"{url}/maps?{SMALL.replace('width=8', 'width=9')}")
    button = blank.get_by_role("button", name="Compute 20 experiments")
    expect(button).to_be_in_viewport()
    button.click()
    until(blank, FILLED)
    assert mapped(blank).total == 20


def test_a_cell_leads_to_the_lab_and_back_to_the_same_map(blank: Page, url: str) -> None:
    begin(blank, url)
    before, address = blank.evaluate(CELLS), blank.url
    blank.locator("#picture").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        blank.keyboard.press(key)
    until(blank, "document.querySelector('#map-readout a')")
    assert "Depth 2, Init scale 0.707107: Last std" in blank.locator("#map-readout").text_content()
    blank.keyboard.press("Enter")
    blank.wait_for_url(lambda address: "/maps" not in address)
    assert "depth=2" in blank.url
    assert "init_scale=0.707107" in blank.url
    blank.go_back()
    until(blank, FILLED)
    until(blank, "document.querySelector('#map-key').dataset.theory")
    assert blank.url == address
    assert blank.evaluate(CELLS) == before


def test_marked_cells_become_a_map_of_their_own(blank: Page, url: str) -> None:
    begin(blank, url)
    blank.locator("#picture").focus()
    for key in ("ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowUp"):
        blank.keyboard.press(key)
    blank.keyboard.press("Enter")
    until(blank, "location.search.includes('x_to=1.0')")
    until(blank, FILLED)
    until(blank, "document.querySelector('#map-key').dataset.theory")
    plane = mapped(blank)
    assert (plane.x.values[0], plane.x.values[-1], plane.y.values) == (0.5, 1.0, (1, 2))
    assert [len(row) for row in blank.evaluate(CELLS)] == [5, 5]


def test_a_drag_marks_cells_too(blank: Page, url: str) -> None:
    begin(blank, url)
    until(blank, "document.querySelector('#chart-map .nsewdrag').getBoundingClientRect().width > 0")
    box = blank.locator("#chart-map .plot .nsewdrag").bounding_box()
    blank.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + box["height"] * 0.1)
    blank.mouse.down()
    blank.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.6, steps=4)
    blank.mouse.up()
    until(blank, f"location.href !== {blank.url!r}")
    until(blank, FILLED)
    until(blank, "document.querySelector('#map-key').dataset.theory")
    plane = mapped(blank)
    assert (plane.x.values[0], plane.x.values[-1], plane.y.values) == (0.5, 1.0, (2, 3, 4))
    assert [len(row) for row in blank.evaluate(CELLS)] == [5] * 3


def test_what_is_wrong_stands_beside_its_control(blank: Page, url: str) -> None:
    blank.goto(f"{url}/maps?{SMALL}")
    blank.allowed.append("422")  # type: ignore[attr-defined]
    blank.locator("#c-x_from").fill("0")
    blank.get_by_role("button", name="Compute", exact=True).click()
    until(blank, "document.querySelector('#x_from-error')?.textContent")
    assert "above 0" in blank.locator("#x_from-error").text_content()


def test_another_parameter_brings_its_range(blank: Page, url: str) -> None:
    blank.goto(f"{url}/maps?{SMALL}")
    blank.locator("#c-x").select_option("width")
    assert blank.locator("#c-x_to").input_value() == "512"
    blank.locator("#c-x").select_option("activation")
    assert not blank.locator("#c-x_from").is_visible()


def test_theory_is_drawn_over_it(blank: Page, url: str) -> None:
    query = SMALL.replace("batch=8", "batch=8&activation=tanh&init=lecun_normal")
    begin(blank, url, query)
    until(blank, "document.querySelector('#chart-map .plot').data[2]?.x?.length")
    assert "edge of chaos" in blank.locator("#map-key").text_content()


def test_on_a_phone_the_picture_comes_into_view_and_nothing_is_wider(blank: Page, url: str) -> None:
    blank.set_viewport_size({"width": 390, "height": 844})
    begin(blank, url)
    top = "document.querySelector('#map-title').getBoundingClientRect().top"
    assert 0 <= blank.evaluate(top) < 844
    assert blank.evaluate("() => document.documentElement.scrollWidth") <= 390


def test_without_scripts_the_form_and_the_table_are_there(browser: Browser, url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(f"{url}/maps?{SMALL}")
        page.get_by_role("button", name="Compute", exact=True).click()
        while page.locator("#map-progress.state-finished").count() == 0:
            page.reload()
        page.get_by_text("The numbers as a table").click()
        assert page.locator("#map-table td").first.text_content()
    finally:
        context.close()
