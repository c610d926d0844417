"""What the inspector says of tensors that are not finite, or nothing but zeros."""

from __future__ import annotations

import html
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("query", "where", "said"),
    [
        ("width=8&seed=2&block=17", "relu17: its output is all zero", "all 1,600 inputs are at"),
        ("batch=1&norm=batch&block=1", "batch_norm1: its output is all zero", "one number, itself"),
        (
            "activation=gelu&init=normal&init_scale=3&block=29",
            "gelu29: its output becomes NaN",
            "−Inf · 0 = NaN, at [0, ",
        ),
    ],
)
def test_the_inspector_names_the_operation(server: Any, query: str, where: str, said: str) -> None:
    text = html.unescape(server.client.get(f"/lab/layer?{query}").text)
    causes = text.partition('<dl class="causes"')[2].partition("</dl>")[0]
    assert where in causes
    assert said in causes


def test_a_healthy_layer_has_no_causes(server: Any) -> None:
    assert "causes" not in server.client.get("/lab/layer?depth=2&block=1").text


def test_the_layers_of_the_answer_carry_their_causes(server: Any) -> None:
    answer = server.client.get("/api/v1/experiment?activation=linear&init=normal").json()
    found = {c["ailment"]: layer["name"] for layer in answer["layers"] for c in layer["causes"]}
    assert found == {"Inf": "linear38", "NaN": "linear39"}
    assert "linear38: " in answer["findings"][0]["explanation"]
