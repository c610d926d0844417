"""Tensors through the API: exact, pooled, and all of a layer's at once."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from layerscope.app.api.layer import MOST_ENTRIES
from layerscope.engine.execution.layer_tensors import TENSORS, layer_tensors
from layerscope.engine.experiment.specification import Experiment

URL = "/api/v1/experiment/tensor"
SMALL = {"depth": 3, "width": 7, "batch": 5, "bias_std": 0.5}


def fetch(server, **parameters):
    response = server.client.get(URL, params=parameters)
    assert response.status_code == 200, response.text
    return response


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("name", TENSORS)
def test_npy_and_json_are_exact(server, name, dtype):
    expected = layer_tensors(Experiment(**SMALL, dtype=dtype), 2, [name])[name]
    asked = {**SMALL, "dtype": dtype, "layer": 2, "tensor": name}
    response = fetch(server, **asked, format="npy")
    array = np.load(io.BytesIO(response.content), allow_pickle=False)
    wide = torch.float32 if dtype == "bfloat16" else getattr(torch, dtype)
    assert array.dtype == torch.empty(0, dtype=wide).numpy().dtype
    np.testing.assert_array_equal(array, expected.to(wide).numpy())
    assert response.headers["x-layerscope-dtype"] == dtype
    assert response.headers["content-disposition"] == f'attachment; filename="linear2.{name}.npy"'
    assert int(response.headers["content-length"]) == len(response.content)
    told = fetch(server, **asked, format="json").json()
    assert told["shape"] == list(expected.shape)
    assert told["layer"]["name"] == "linear2"
    back = torch.tensor(told["values"], dtype=torch.float64).to(getattr(torch, dtype))
    assert torch.equal(back, expected)


def test_json_keeps_what_is_not_finite(server):
    overflowing = {
        "depth": 4, "width": 6, "batch": 9, "activation": "linear", "dtype": "float16",
        "init": "normal", "init_scale": 100, "layer": 3, "tensor": "activation",
    }  # fmt: skip
    told = fetch(server, **overflowing, format="json").json()
    array = np.load(io.BytesIO(fetch(server, **overflowing, format="npy").content))
    flat = np.array(told["values"], dtype=float).reshape(-1)  # None becomes nan
    for kind, value in (("nan", np.nan), ("posinf", np.inf), ("neginf", -np.inf)):
        flat[told["nonfinite"][kind]] = value
    assert not np.isfinite(array).all()
    np.testing.assert_array_equal(flat, array.reshape(-1).astype(float))


def test_a_large_tensor_is_not_sent_as_json(server):
    asked = {"depth": 1, "width": 101, "batch": 100, "layer": 0, "tensor": "activation"}
    response = server.client.get(URL, params={**asked, "format": "json"})
    assert response.status_code == 422
    problem = response.json()
    assert str(MOST_ENTRIES) in problem["detail"]
    assert "npy" in problem["detail"]
    assert problem["errors"][0]["field"] == "format"
    assert np.load(io.BytesIO(fetch(server, **asked, format="npy").content)).shape == (100, 101)


def test_heatmap_is_the_default_and_at_most_128_square(server):
    told = fetch(server, depth=1, layer=0, tensor="activation").json()
    assert told["shape"] == [200, 100]
    assert (told["rows"], told["columns"]) == (128, 100)
    assert len(told["values"]) == 128
    assert told["pooling"]


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ({"layer": 7, "tensor": "weight"}, 404, "0 to 6"),
        ({"layer": 10**8, "tensor": "weight"}, 404, "0 to 6"),
        ({"layer": 10**20, "tensor": "weight"}, 422, "0 to 6"),
        ({"layer": -1, "tensor": "weight"}, 422, "0 to 6"),
        ({"layer": "", "tensor": "weight"}, 422, "0 to 6"),
        ({"layer": "١", "tensor": "weight"}, 422, "0 to 6"),
        ({"layer": "²", "tensor": "weight"}, 422, "0 to 6"),
        ({"tensor": "weight"}, 422, "0 to 6"),
        ({"layer": 0}, 422, "activation.grad"),
        ({"layer": 0, "tensor": "wieght"}, 422, "activation.grad"),
        ({"layer": 0, "tensor": "weight", "format": "pickle"}, 422, "npy"),
        ({"layer": 1, "tensor": "weight"}, 404, "relu1 has no weight; it has activation, "),
        ({"layer": 0, "tensor": "weight", "depth": 0}, 422, "1 to 1000"),
    ],
)
def test_what_is_not_there_is_named(server, query, status, says):
    response = server.client.get(URL, params={**SMALL, **query})
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert says in response.json()["detail"]


def test_parameters_given_twice(server):
    response = server.client.get(f"{URL}?layer=0&layer=1&tensor=weight")
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "layer"


def test_all_of_a_layer_at_once_is_what_each_tensor_is_alone(server):
    asked = {**SMALL, "layer": 2}
    whole = server.client.get("/api/v1/experiment/layer", params=asked).json()
    assert set(whole["tensors"]) == set(TENSORS)
    result = server.client.get("/api/v1/experiment", params=SMALL).json()["layers"][2]
    facts = ("index", "name", "kind", "role", "block", "shape")
    assert whole["layer"] == {k: result[k] for k in facts}
    assert whole["tensors"]["activation"]["statistics"] == result["activation"]
    assert whole["tensors"]["activation.grad"]["statistics"] == result["gradient"]
    weight = result["parameters"]["weight"]
    assert whole["tensors"]["weight"]["statistics"] == weight["value"]
    assert whole["tensors"]["weight.grad"]["statistics"] == weight["gradient"]
    for name, told in whole["tensors"].items():
        alone = fetch(server, **asked, tensor=name).json()
        assert alone["values"] == told["heatmap"]["values"], name
        assert np.load(io.BytesIO(server.client.get(told["npy"]).content)).shape == tuple(
            told["shape"]
        )


def test_a_layer_without_parameters_has_two_tensors(server):
    whole = server.client.get("/api/v1/experiment/layer", params={**SMALL, "layer": 1}).json()
    assert set(whole["tensors"]) == {"activation", "activation.grad"}


@pytest.mark.parametrize("path", ["tensor?layer=0&tensor=weight", "layer?layer=0"])
def test_tensors_are_cached_by_tag(server, path, works):
    url = f"/api/v1/experiment/{path}&depth=2"
    tag = server.client.get(url).headers["etag"]
    works.clear()
    again = server.client.get(url, headers={"If-None-Match": f'"x", {tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert server.client.head(url).headers["etag"] == tag
    assert works == []
