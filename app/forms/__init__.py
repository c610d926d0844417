"""One machine for every form: a specification's controls, its query, its OpenAPI."""

from __future__ import annotations

from layerscope.app.forms.controls import Control, Option, controls
from layerscope.app.forms.form import Form
from layerscope.app.forms.openapi import body_of, query_of, query_parameter
from layerscope.app.forms.posted import posted

__all__ = [
    "Control", "Form", "Option", "body_of", "controls", "posted", "query_of", "query_parameter",
]  # fmt: skip
