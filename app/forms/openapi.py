"""A specification in OpenAPI: as query parameters, or as a JSON body."""

from __future__ import annotations

from collections.abc import Callable, ItemsView
from typing import Any

from layerscope.engine.basis.specification import Specification

__all__ = ["body_of", "query_of", "query_parameter"]


class _WhenAsked(dict[str, Any]):
    """A route's ``openapi_extra``, made when the schema is: what was registered since is in it."""

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        super().__init__(make())
        self._make = make

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        return self._make().items()


def query_of(model: type[Specification], *extra: dict[str, Any]) -> dict[str, Any]:
    """Every parameter of ``model`` with its bounds, after those of ``extra``."""

    def parameters() -> dict[str, Any]:
        properties = model.json_schema()["properties"]
        of_model = [
            query_parameter(name, schema.pop("description", ""), _typed(schema))
            for name, schema in properties.items()
        ]
        return {"parameters": [*extra, *of_model]}

    return _WhenAsked(parameters)


def _typed(schema: dict[str, Any]) -> dict[str, Any]:
    """The same of a query's text, in which nothing is null: what is left empty."""
    if kinds := schema.get("anyOf"):
        empty = {"type": "string", "maxLength": 0}
        schema["anyOf"] = [empty if kind == {"type": "null"} else kind for kind in kinds]
    return schema


def query_parameter(
    name: str, text: str, schema: dict[str, Any], *, required: bool = False
) -> dict[str, Any]:
    """One parameter of a query string."""
    return {"name": name, "in": "query", "required": required, "description": text,
            "schema": schema}  # fmt: skip


def body_of(
    model: type[Specification], example: dict[str, Any], *extra: dict[str, Any]
) -> dict[str, Any]:
    """``model`` as the one thing that a request's body may be; ``extra`` may stand in it too, or in
    the query."""

    def body() -> dict[str, Any]:
        schema = model.json_schema()
        for each in extra:
            schema["properties"][each["name"]] = {
                "description": each["description"], **each["schema"]
            }  # fmt: skip
        content = {"schema": schema, "example": example}
        asked = {"requestBody": {"required": True, "content": {"application/json": content}}}
        return {"parameters": list(extra), **asked} if extra else asked

    return _WhenAsked(body)
