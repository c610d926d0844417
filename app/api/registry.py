"""Everything that has a name: what each parameter may be, and what the engine is made of."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from layerscope.app.api.responses import described_json, problems
from layerscope.app.caching import cached, etag, unchanged
from layerscope.engine.diagnosis import RULES
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.foundations.matmul import MATMULS
from layerscope.engine.layers import layer_classes
from layerscope.engine.maps.outcomes import OUTCOMES
from layerscope.engine.maps.theory import LINES

__all__ = ["router"]

router = APIRouter(tags=["registry"], default_response_class=Response)


@router.get(
    "/registry",
    summary="Every activation, init scheme, norm, loss, data set, dtype, matmul variant and rule",
    responses={
        200: described_json(
            "By parameter (`activation`, `init`, `norm`, `loss`, `data`, `dtype`), and `matmul`, "
            "`rule`, `layer`, and a map's `outcome` and `line`: lists of name, formula, source and "
            "help. `parameters` is the JSON schema of an experiment.",
            {"activation": [{"name": "relu", "formula": "y = max(0, x)", "source": "…",
                             "help": "…"}]},
        ),
        **problems(304, 503),
    },
)  # fmt: skip
async def registry(request: Request) -> Response:
    """The names are those that an experiment's parameters take."""
    tag = etag("registry")
    if known := unchanged(request, tag):
        return known
    headers = cached(request, tag)
    return Response(orjson.dumps(_everything()), media_type="application/json", headers=headers)


def _everything() -> dict[str, Any]:
    found: dict[str, Any] = {
        name: [{"name": option, **text} for option, text in known.items()]
        for name in Experiment.model_fields
        if (known := Experiment.options(name))
    }
    found["matmul"] = MATMULS.describe()
    found["rule"] = RULES.describe()
    found["outcome"] = OUTCOMES.describe()
    found["line"] = LINES.describe()
    told = ("name", "formula", "gradient_formula", "source", "help")
    found["layer"] = [
        {key: getattr(layer, key) for key in told} for layer in layer_classes().values()
    ]
    found["parameters"] = Experiment.json_schema()
    return found
