"""Checks of our own for schemathesis: what the schema allows is refused for its meaning alone, and
a server that is busy says when to come back."""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis import GenerationMode

from layerscope.engine.basis.specification import Text
from layerscope.engine.experiment import Experiment
from layerscope.engine.training import Training

MEANINGS = ("over-limit", "too-large", "batch")
"""Problems that no schema can foresee: the sum of what was asked is too much, or a body's form is
none that OpenAPI can describe."""
ABOUT_A_SUM = " times the limit of "
OF_THE_NETWORK = {"layer"}
"""Parameters whose largest value is the experiment's to say."""
TEXTS = {
    name
    for model in (Experiment, Training)
    for name, field in model.model_fields.items()
    if any(isinstance(each, Text) for each in field.metadata)
}
"""Parameters that have a grammar of their own."""
UNANSWERED = {("/why/spectrum", "norm")}
"""Questions, by the end of their path, that have no answer for some value of a parameter."""
PARTNERS = {"alpha": {"activation": "leaky_relu"}}
"""Parameters that are refused beside the defaults, and with what they go together."""

# A body that is bytes to OpenAPI is sent as they are.
schemathesis.serializer.alias("application/vnd.layerscope.batch", "application/octet-stream")


@schemathesis.check
def busy_says_when(_: Any, response: Any, __: Any) -> None:
    """A 503 is the problem "busy", with ``Retry-After``."""
    if response.status_code != 503:
        return
    if not (after := response.headers.get("retry-after")):
        raise AssertionError("503 without Retry-After")
    if response.json()["type"] != "/docs#problem-busy":
        raise AssertionError(f"503 that is not of being busy, Retry-After {after}")


@schemathesis.check
def refused_for_its_meaning(_: Any, response: Any, case: Any) -> None:
    """A 422 to what is valid by the schema is about a sum, parameters that do not go together, or
    a text with a grammar of its own."""
    if response.status_code != 422 or case.meta is None:
        return
    if case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    problem = response.json()
    if problem["type"].removeprefix("/docs#problem-") in MEANINGS:
        return
    texts = {
        parameter.name
        for parameter in case.operation.query
        if (schema := parameter.definition["schema"]).get("type") == "string"
        and "enum" not in schema
    }
    for error in problem["errors"]:
        name = error["field"].rpartition(".")[2]
        if name in texts | TEXTS | OF_THE_NETWORK or ABOUT_A_SUM in error["message"]:
            continue
        if any(case.operation.path.endswith(path) and name == of for path, of in UNANSWERED):
            continue
        if error["field"] in _refused_alone(case, error["field"]):
            raise AssertionError(f"valid by the schema, and refused: {error}")


def _refused_alone(case: Any, field: str) -> set[str]:
    """What is refused when nothing but ``field``, and what is required, is given as in ``case``."""
    kept = {field} | {p.name for p in case.operation.query if p.is_required}

    def only(given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        partners = PARTNERS.get(field, {}) if field in given else {}
        return {k: v for k, v in given.items() if k in kept} | partners

    alone = case.operation.Case(
        path_parameters=case.path_parameters,
        query=only(case.query),
        body=only(case.body),
        media_type=case.media_type,
    )
    answer = alone.call()
    if answer.status_code != 422:
        return set()
    return {e["field"] for e in answer.json().get("errors", ())}  # what is too much names no field
