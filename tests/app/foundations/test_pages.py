"""Every page of Foundations that one question makes: HTML, JSON twin, links, refusals."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscope.app.foundations import TOUR, Step
from layerscope.engine.foundations.calculus import derivative_of, differentiable
from layerscope.engine.foundations.linear import linear_layer
from layerscope.engine.foundations.neuron import neuron
from layerscope.engine.foundations.tensors.broadcasting import Operand, broadcast
from layerscope.engine.foundations.tensors.elementwise import elementwise
from layerscope.engine.foundations.tensors.literals import parse_tensor
from layerscope.engine.foundations.tensors.reductions import reduce

MINE = ("neuron", "layer", "elementwise", "reductions", "broadcasting", "derivatives")
BY_NAME = {step.name: step for step in TOUR}


@pytest.fixture(scope="module")
def client(server: Any) -> httpx.Client:
    return server.client  # type: ignore[no-any-return]


def page(client: httpx.Client, slug: str, /, **query: str) -> httpx.Response:
    return client.get(f"/foundations/{slug}", params=query)


def twin(client: httpx.Client, slug: str, /, **query: str) -> Any:
    answer = client.get(f"/api/v1/foundations/{slug}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_tour_leads_through_the_lab_and_why_to_the_conclusion(client: httpx.Client) -> None:
    text = client.get("/foundations").text
    main = text[text.index('class="stops"') :]
    links = re.findall(r'class="panel stop" href="([^"]+)"', main)
    whys = ["/why/phase", "/why/spectrum", "/why/precision"]
    end = "/foundations/conclusion"
    assert links == [*(f"/foundations/{step.name}" for step in TOUR), "/", *whys, end]
    for here, onward in zip(whys, [*whys[1:], end], strict=True):
        assert f'rel="next" href="{onward}"' in client.get(f"{here}?depth=2&width=4").text


@pytest.mark.slow
def test_next_and_previous_follow_the_registry(client: httpx.Client) -> None:
    for at, step in enumerate(TOUR):
        text = client.get(f"/foundations/{step.name}").text
        before = f"/foundations/{TOUR[at - 1].name}" if at else "/foundations"
        after = f"/foundations/{TOUR[at + 1].name}" if at + 1 < len(TOUR) else "/"
        assert re.findall(r'rel="prev" href="([^"]+)"', text) == [before]
        assert re.findall(r'rel="next" href="([^"]+)"', text) == [after]


@pytest.mark.parametrize("slug", MINE)
def test_a_cold_page_is_whole_and_its_part_is_a_part(client: httpx.Client, slug: str) -> None:
    cold = page(client, slug)
    assert cold.status_code == 200
    assert "<html" in cold.text
    part = client.get(f"/foundations/{slug}", headers={"HX-Request": "true"})
    assert "<html" not in part.text
    assert "HX-Request" in part.headers["vary"]
    assert "HX-Request" in cold.headers["vary"]
    live = cold.text[cold.text.index('<div id="live"') : cold.text.index('<nav class="onward"')]
    assert live in part.text


@pytest.mark.parametrize("slug", MINE)
def test_unknown_and_repeated_parameters_are_refused_alike(client: httpx.Client, slug: str) -> None:
    name = next(iter(BY_NAME[slug].form.model_fields))
    for query in ("nonsense=1", f"{name}=1&{name}=1", "&".join(["z=1"] * 101)):
        api = client.get(f"/api/v1/foundations/{slug}?{query}")
        assert api.status_code == client.get(f"/foundations/{slug}?{query}").status_code == 422
        assert api.headers["content-type"] == "application/problem+json"
        assert api.json()["errors"]


@pytest.mark.parametrize(
    ("slug", "field", "value", "message"),
    [
        ("neuron", "bias", "two", "expected a number, such as 0.5"),
        ("neuron", "weights", "1, 2", "4 inputs but 2 weights; each input needs its weight"),
        ("neuron", "activation", "rleu", "expected one of: relu,"),
        ("layer", "n_inputs", "99", "expected a whole number from 1 to 12"),
        ("layer", "w", "[[1, 2], [3, 4]]", "x has 3 inputs (shape (5, 3)), but each row of w"),
        ("layer", "b", "[1, 2, 3]", "b has shape (3,); expected (2,)"),
        ("layer", "cell", "9,0", "i is 9; y has shape (5, 2), so i runs from 0 to 4"),
        ("elementwise", "a", "[1, 2", "found the end of the text, expected ',' or ']'"),
        ("elementwise", "b", "[[1, 2], [3]]", "found row 1 with 1 entry, expected 2"),
        ("elementwise", "op", "power", "expected one of: add, subtract"),
        ("elementwise", "cell", "7", "7 is out of range; the result has shape (3,)"),
        ("reductions", "axes", "2", "axis 2 is out of range: shape (2, 3) has axes -2 to 1"),
        ("reductions", "axes", "a", "expected an axis, such as 0 or -1"),
        ("reductions", "keepdim", "maybe", "expected true or false"),
        ("broadcasting", "a", "3, x", "expected a size, a whole number of 0 or more"),
        ("broadcasting", "b", "", "nothing typed; expected a shape"),
        ("broadcasting", "a_index", "[0]", "a number would remove an axis, not add one"),
        ("broadcasting", "a_index", "[:, :, :]", "keeps 3 axes by"),
        ("broadcasting", "d", "3", "c is empty; expected shapes without a gap"),
        ("broadcasting", "c_index", "[None]", "there is no c to be indexed"),
        ("derivatives", "name", "sinh", "expected one of:"),
    ],
)
def test_a_message_stands_beside_its_control_and_the_text_is_kept(
    client: httpx.Client, slug: str, field: str, value: str, message: str
) -> None:
    answer = page(client, slug, **{field: value})
    assert answer.status_code == 422
    text = html.unescape(answer.text)
    if field != "cell":
        assert f'aria-describedby="{field}-error" aria-invalid="true"' in text
        beside = re.search(rf'id="{field}-error">([^<]*)<', text)
        assert beside
        assert message in beside[1]
        assert value in text
    assert message in text
    api = client.get(f"/api/v1/foundations/{slug}", params={field: value})
    assert api.status_code == 422
    (error,) = api.json()["errors"]
    assert (error["field"], error["value"]) == (field, value)
    assert message in error["message"]


@pytest.mark.parametrize(
    ("slug", "query", "shown"),
    [
        ("neuron", {"inputs": "1, 2", "weights": "3, 4", "bias": "-20"}, "3 + 8 - 20 = -9"),
        ("layer", {"x": "[[1, 2, 3]]", "w": "[[1, 0, 0]]", "b": "[4]"},
         "y[0, 0] = 1×1 + 2×0 + 3×0 + 4 = 5"),
        ("elementwise", {"op": "less", "cell": "2"}, "4 < 7 = True"),
        ("reductions", {"axes": "1", "op": "mean", "cell": "1"}, "(4 + 5 + 6) / 3 = 5"),
        ("broadcasting", {"a": "4", "b": "()"}, "the result has shape (4,)"),
        ("derivatives", {"name": "tanh"}, "return g * (1 - saved * saved)"),
    ],
)  # fmt: skip
def test_a_link_restores_the_state(
    client: httpx.Client, slug: str, query: dict[str, str], shown: str
) -> None:
    answer = page(client, slug, **query)
    assert answer.status_code == 200
    text = html.unescape(answer.text)
    assert shown.lower() in text.lower()
    for name, value in query.items():
        if name != "cell":
            assert (
                f'value="{value}"' in text
                or f">\n{value}</textarea>" in text
                or f'value="{value}" selected' in text
            )
    link = re.search(r'href="(/api/v1/foundations/[^"]+)" data-twin', text)
    assert link
    assert client.get(link[1]).json() == twin(client, slug, **query)


def test_the_neuron_is_the_engine_s(client: httpx.Client) -> None:
    expected = neuron([1.5, -2], [0.25, 3], 0.5, "gelu").to_dict()
    query = {"inputs": "1.5, -2", "weights": "0.25 3", "bias": "0.5", "activation": "gelu"}
    assert twin(client, "neuron", **query) == expected


def test_the_layer_is_the_engine_s(client: httpx.Client) -> None:
    x, w, b = (parse_tensor(t) for t in ("[[1, 2], [3, 4]]", "[[5, 6]]", "[7]"))
    layer = linear_layer(x, w, b)
    expected = {**layer.to_dict(), "cell": layer.cell(1, 0).to_dict()}
    query = {"x": "[[1, 2], [3, 4]]", "w": "[[5, 6]]", "b": "[7]", "cell": "1,0"}
    assert twin(client, "layer", **query) == expected
    drawn = twin(client, "layer", batch_size="4", n_inputs="2", n_neurons="7", seed="3")
    assert drawn["expression"] == "y (4, 7) = x (4, 2) @ w.t() (2, 7) + b (7,)"
    assert drawn != twin(client, "layer", batch_size="4", n_inputs="2", n_neurons="7", seed="4")


def test_elementwise_is_the_engine_s(client: httpx.Client) -> None:
    done = elementwise("/", parse_tensor("[1, 0]"), parse_tensor("0"))
    answer = twin(client, "elementwise", a="[1, 0]", b="0", op="divide")
    assert answer == {**done.to_dict(), "cell": done.cells[0].to_dict()}
    assert answer["result"]["planes"][0]["rows"][0][0] == {
        "index": [0], "flat": 0, "value": None, "text": "inf"
    }  # fmt: skip


def test_a_mismatch_is_an_answer_with_its_reason(client: httpx.Client) -> None:
    query = {"a": "[[1,2,3],[4,5,6],[7,8,9]]", "b": "[[1,2,3],[4,5,6]]", "op": "multiply"}
    answer = twin(client, "elementwise", **query)
    assert (answer["result"], answer["broadcast"]["failed_axis"]) == (None, 0)
    text = html.unescape(page(client, "elementwise", **query).text)
    assert "axis 0 fails: a has 3, b has 2; they must be equal, or one of them 1" in text
    assert answer["error"] in text
    assert 'class="slot clash"' in text


def test_reductions_are_the_engine_s(client: httpx.Client) -> None:
    done = reduce("std", parse_tensor("[[1, 2], [3, 9]]"), (-1,), keepdim=True)
    answer = twin(client, "reductions", x="[[1, 2], [3, 9]]", op="std", axes="-1", keepdim="on")
    assert answer == {**done.to_dict(), "cell": done.cells[0].to_dict()}


def test_broadcasting_is_the_engine_s(client: httpx.Client) -> None:
    done = broadcast([Operand((3,), "[:, None]"), (1, 4), (2, 1, 1)])
    query = {"a": "3", "a_index": "[:, None]", "b": "1, 4", "c": "2, 1, 1"}
    assert twin(client, "broadcasting", **query) == done.to_dict()


def test_a_huge_broadcast_is_described_and_a_larger_one_refused(client: httpx.Client) -> None:
    assert twin(client, "broadcasting", a="1048576, 1", b="1, 1048576")["elements"] == 2**40
    answer = page(client, "broadcasting", a="1099511627776, 1", b="1, 1099511627776")
    assert answer.status_code == 422
    assert "elements of the result" in answer.text


def test_derivatives_are_the_engine_s_with_the_code(client: httpx.Client) -> None:
    answer = twin(client, "derivatives", name="relu6")
    chosen = answer["chosen"]
    assert "def chain(" in chosen.pop("code")
    assert "def reference(" in chosen.pop("reference")
    assert chosen == derivative_of("relu6").to_dict()
    assert [f["name"] for f in answer["functions"]] == list(differentiable())
    assert twin(client, "derivatives")["chosen"] is None


@pytest.mark.parametrize("name", differentiable())
def test_every_derivative_has_its_page(client: httpx.Client, name: str) -> None:
    text = page(client, "derivatives", name=name).text
    assert text.count("<math ") == 2
    assert f'aria-label="Source of {name}"' in text
    kinks = derivative_of(name).kinks
    assert text.count('class="mark chosen"') == len(kinks)


def test_the_page_draws_what_the_engine_says(client: httpx.Client) -> None:
    """Stretched axes are hatched, ghosts are read again, bars hold the stored share."""
    text = page(client, "broadcasting", a="3", a_index="unsqueeze(1)").text
    assert text.count('<td class="ghost">') == 6
    assert text.count('<td class="solid">') == 3 + 9
    assert text.count('class="slot stretched"') == 1
    assert '<rect class="stored" width="33.33"' in text


def test_cells_of_one_colour_go_into_one_cell(client: httpx.Client) -> None:
    text = page(client, "reductions", axes="1").text
    groups = re.findall(r'<td class="(?:lit )?(g\d)" data-cell="x:(\d)"', text)
    assert groups == [("g0", "0"), ("g0", "1"), ("g0", "2"), ("g1", "3"), ("g1", "4"), ("g1", "5")]


def test_an_answer_is_cached_by_its_tag_and_a_refusal_never(client: httpx.Client) -> None:
    first = client.get("/api/v1/foundations/neuron?bias=1")
    tag = first.headers["etag"]
    again = client.get("/api/v1/foundations/neuron?bias=1", headers={"If-None-Match": tag})
    assert again.status_code == 304
    other = client.get("/api/v1/foundations/neuron?bias=2", headers={"If-None-Match": tag})
    assert other.status_code == 200
    refused = client.get("/api/v1/foundations/neuron?bias=x", headers={"If-None-Match": "*"})
    assert refused.status_code == 422


def test_openapi_has_every_question(client: httpx.Client) -> None:
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    for step in TOUR:
        got = paths[f"/api/v1/foundations/{step.name}"]["get"]["parameters"]
        assert [p["name"] for p in got] == list(step.form.model_fields)


LITERALS = st.one_of(
    st.text(max_size=40),
    st.text("[]()0123456789.,-+eE NoneTruFalsinf:uq", max_size=40),
    st.recursive(
        st.floats(-100, 100).map(str) | st.sampled_from(["nan", "True", "1e30"]),
        lambda inner: st.lists(inner, max_size=4).map(lambda parts: f"[{', '.join(parts)}]"),
        max_leaves=20,
    ),
    st.lists(st.integers(-1, 5), max_size=6).map(lambda sizes: ", ".join(map(str, sizes))),
    st.sampled_from(["[:, None]", "[..., None]", "unsqueeze(-1)", "[None]", "()", "1e6", "-1e6"]),
)


@pytest.mark.slow
@pytest.mark.parametrize("slug", MINE)
@settings(max_examples=40)
@given(data=st.data())
def test_whatever_is_typed_is_answered_or_refused(
    client: httpx.Client, slug: str, data: st.DataObject
) -> None:
    query = data.draw(queries(BY_NAME[slug]))
    text = urlencode(query, quote_via=quote, errors="replace")
    api = client.get(f"/api/v1/foundations/{slug}?{text}")
    shown = client.get(f"/foundations/{slug}?{text}")
    assert api.status_code in (200, 422)
    assert shown.status_code == api.status_code
    assert "NaN" not in api.text or "NaN" in str(query)
    if api.status_code == 422:
        assert all(e["message"] for e in api.json()["errors"])


def queries(step: Step) -> st.SearchStrategy[dict[str, str]]:
    form = step.form
    values = {
        name: st.sampled_from(list(known)) | LITERALS if (known := form.options(name)) else LITERALS
        for name in form.model_fields
    }
    return st.fixed_dictionaries({}, optional=values)
