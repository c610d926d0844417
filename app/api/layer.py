"""A layer's tensors: exact as NumPy's format or JSON, or pooled to a picture."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode

import numpy as np
import orjson
import torch
from fastapi import APIRouter, Request
from starlette.responses import Response
from torch import Tensor

from layerscope.app.api.parameters import Computing, Configured, split_query
from layerscope.app.api.responses import answered, bodiless, described_json, problems
from layerscope.app.batches import Batches
from layerscope.app.caching import cached, etag, unchanged
from layerscope.app.compute import Work, while_connected
from layerscope.app.errors import Problem, refused
from layerscope.app.forms import query_of, query_parameter
from layerscope.app.recorded import WHOLE
from layerscope.app.results import is_quick
from layerscope.app.streams import GrowingResponse
from layerscope.app.templating import root_path
from layerscope.engine.basis.cancellation import ShouldStop, stop_if
from layerscope.engine.basis.heatmap import heatmap
from layerscope.engine.execution.layer_tensors import TENSORS, layer_tensors, tensors_cost
from layerscope.engine.execution.network import LayerInfo, layout
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.statistics import statistics

__all__ = ["MOST_ENTRIES", "layer_json", "router"]

router = APIRouter(tags=["layer"], default_response_class=Response)
FORMATS = {
    "heatmap": "application/json",
    "json": "application/json",
    "npy": "application/octet-stream",
}
MOST_ENTRIES = 10_000
"""The largest tensor that is sent as JSON: 200 kB of text, more than anybody reads."""
CHUNK_BYTES = 1 << 20

LAYER = query_parameter(
    "layer", "The layer's index, from 0, as in the result's `layers`.",
    {"type": "integer", "minimum": 0}, required=True,
)  # fmt: skip
TENSOR = query_parameter(
    "tensor", "Which tensor; only some layers have weights and biases.",
    {"type": "string", "enum": list(TENSORS)}, required=True,
)  # fmt: skip
FORMAT = query_parameter(
    "format",
    f"`npy` is exact, bfloat16 widened to float32; `json` is exact, up to {MOST_ENTRIES} entries; "
    "`heatmap` is pooled to at most 128×128 cells.",
    {"type": "string", "enum": list(FORMATS), "default": "heatmap"},
)
DESCRIPTION = """
`json`: `{"shape", "dtype", "values", "nonfinite"}`; `values` is nested by rows. An entry that is
not finite is `null` there, and its place in row-major order stands in `nonfinite.nan`, `.posinf`
or `.neginf`.

`heatmap`: `{"shape", "rows", "columns", "pooling", "limit", "values", "nan", "posinf", "neginf"}`;
a cell shows the entry of largest magnitude, the last three list `[row, column, count]`.

`npy`: the header `X-Layerscope-Dtype` names the experiment's own dtype.
"""


@router.get(
    "/experiment/tensor",
    summary="One tensor of one layer",
    description=DESCRIPTION,
    openapi_extra=query_of(Experiment, LAYER, TENSOR, FORMAT),
    responses={
        200: {
            "description": "The tensor",
            "content": {
                "application/json": {"schema": {"type": "object"}},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        **problems(304, 404, 422, 503),
    },
)
async def tensor(request: Request, settings: Configured, compute: Computing) -> Response:
    experiment, given = split_query(request, ("layer", "tensor", "format"))
    needed = settings.limits.check(tensors_cost(experiment))
    name = _one_of(given, "tensor", TENSORS)
    form = _one_of({"format": "heatmap", **given}, "format", tuple(FORMATS))
    info = _layer(experiment, given)
    tag = etag("tensor", experiment.to_query(), info.index, name, form)
    if known := unchanged(request, tag):
        return known
    headers = cached(request, tag)
    if request.state.head:
        return bodiless(FORMATS[form], headers)
    headers["X-Layerscope-Dtype"] = experiment.dtype
    if form == "npy":
        disposition = f'attachment; filename="{info.name}.{name}.npy"'
        headers["Content-Disposition"] = disposition
        return await _npy(request, partial(_npy_parts, experiment, info, name), headers)
    work = partial(_written, experiment, info, name, form)
    body = await while_connected(request, compute.run(work, quick=is_quick(needed.flops)))
    return Response(body, media_type="application/json", headers=headers)


@router.get(
    "/experiment/layer",
    summary="All tensors of one layer, as pictures and figures",
    openapi_extra=query_of(Experiment, LAYER),
    responses={
        200: described_json(
            "The layer, and each of its tensors with statistics, heatmap and the address of its "
            "exact entries",
            None,
            *("experiment", "layer", "tensors"),
        ),
        **problems(304, 404, 422, 503),
    },
)
async def whole_layer(request: Request, settings: Configured) -> Response:
    """One computation for everything that an inspector shows."""
    experiment, given = split_query(request, ("layer",))
    needed = settings.limits.check(tensors_cost(experiment))
    info = _layer(experiment, given)
    tag = etag("layer", experiment.to_query(), info.index)
    address = root_path.get() + request.app.url_path_for("tensor")
    work = partial(layer_json, experiment, info, address)
    return await answered(request, tag, work, quick=is_quick(needed.flops))


def _tensor(experiment: Experiment, info: LayerInfo, name: str, should_stop: ShouldStop) -> Tensor:
    """Errors: ``Problem`` 404 where the layer has none of this name."""
    found = layer_tensors(experiment, info.index, (name,), should_stop=should_stop)[name]
    if found is None:
        every = layer_tensors(experiment, info.index, TENSORS, should_stop=should_stop)
        has = ", ".join(n for n, t in every.items() if t is not None)
        detail = f"{info.name} has no {name}; it has {has}"
        raise Problem(404, detail, kind="no-such-tensor", title="No such tensor")
    return found


def _written(
    experiment: Experiment, info: LayerInfo, name: str, form: str, should_stop: ShouldStop
) -> bytes:
    tensor = _tensor(experiment, info, name, should_stop)
    if form == "json" and tensor.numel() > MOST_ENTRIES:
        limit = f"JSON is limited to {MOST_ENTRIES}; expected npy or heatmap"
        why = f"this tensor has {tensor.numel()} entries, {limit}"
        error = {"field": "format", "message": why, "value": "json"}
        detail = f"format: {why}"
        raise Problem(422, detail, kind="too-large", title="Too large for JSON", errors=[error])
    about = {"layer": info.to_dict(), "tensor": name, "dtype": experiment.dtype}
    return orjson.dumps({**about, **(heatmap(tensor) if form == "heatmap" else _exact(tensor))})


def layer_json(
    experiment: Experiment, info: LayerInfo, address: str, should_stop: ShouldStop
) -> bytes:
    """All tensors of a layer as JSON; ``address``: of the route of one tensor."""
    tensors = layer_tensors(experiment, info.index, TENSORS, should_stop=should_stop)
    described = {}
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        query = {**experiment.to_query(), "layer": info.index, "tensor": name, "format": "npy"}
        described[name] = {
            "shape": list(tensor.shape),
            "statistics": statistics(tensor).to_dict(),
            "heatmap": heatmap(tensor),
            "npy": f"{address}?{urlencode(query)}",
        }
    whole = {"experiment": experiment.to_dict(), "layer": info.to_dict(), "tensors": described}
    return orjson.dumps(whole)


def _one_of(given: dict[str, str], field: str, options: Sequence[str]) -> str:
    value = given.get(field)
    if value is None or value not in options:
        raise refused(field, f"expected one of {', '.join(options)}", value)
    return value


def _layer(experiment: Experiment, given: dict[str, str]) -> LayerInfo:
    layers = layout(experiment)
    expected = f"this network's layers are 0 to {len(layers) - 1}"
    text = given.get("layer")
    if text is None or not WHOLE.fullmatch(text):
        raise refused("layer", f"expected an index; {expected}", text)
    if int(text) >= len(layers):
        detail = f"layer {text}: {expected}"
        raise Problem(404, detail, kind="no-such-layer", title="No such layer")
    return layers[int(text)]


def _exact(tensor: Tensor) -> dict[str, Any]:
    """Every entry as a number that reads back as the same bits, or null and its place."""
    exact = tensor.double()  # for every dtype of an experiment
    values = exact.numpy().astype(object)
    values[~np.isfinite(exact.numpy())] = None
    flat = exact.reshape(-1)
    places = {"nan": flat.isnan(), "posinf": flat == torch.inf, "neginf": flat == -torch.inf}
    return {
        "shape": list(tensor.shape),
        "values": values.tolist(),
        "nonfinite": {kind: mask.nonzero()[:, 0].tolist() for kind, mask in places.items()},
    }


async def _npy(
    request: Request, work: Work[Iterator[int | bytes]], headers: dict[str, str]
) -> Response:
    running: Batches[Any] = Batches(request.app.state.compute, work)
    try:
        size, *ready = await while_connected(request, running.__anext__())
    except BaseException:
        running.stop()
        raise

    async def parts() -> AsyncIterator[bytes]:
        for part in ready:
            yield part
        async for batch in running:
            for part in batch:
                yield part

    headers["Content-Length"] = str(size)
    return GrowingResponse(parts(), running, headers=headers, media_type=FORMATS["npy"])


def _npy_parts(
    experiment: Experiment, info: LayerInfo, name: str, should_stop: ShouldStop
) -> Iterator[int | bytes]:
    """How many bytes there are, then they."""
    tensor = _tensor(experiment, info, name, should_stop)
    # NumPy has no bfloat16; float32 holds every one of its numbers exactly.
    array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).contiguous().numpy()
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(array))
    raw = array.reshape(-1).view(np.uint8)
    yield len(head.getvalue()) + raw.size
    yield head.getvalue()
    for start in range(0, raw.size, CHUNK_BYTES):
        stop_if(should_stop)
        yield raw[start : start + CHUNK_BYTES].tobytes()
