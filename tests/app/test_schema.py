"""The API as OpenAPI describes it: schemathesis asks what the schema allows, and what it does not.

A few cases for each address; `make fuzz` asks thousands, with the same checks.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig

from layerscope.app.main import create_app
from layerscope.app.settings import Settings

pytestmark = pytest.mark.slow

TOOLS = Path(__file__).resolve().parents[2] / "tools"
PATHS = create_app(Settings(warm_up=False)).openapi()["paths"]
ASKED = [
    (path, method, mode)
    for path, methods in PATHS.items()
    for method, about in methods.items()
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or {"parameters", "requestBody"} & set(about)
]
FEW = settings(
    max_examples=3, database=None, derandomize=True, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.fixture(scope="module")
def described(serve):
    """A server on which every case is cheap."""
    # What warms up in a thread beside this one parses source, as hypothesis does: CPython 3.11's
    # parser can't do both at once.
    cheap = {"max_flops": 1e10, "check_max_flops": 3e8, "max_bytes": 2**27, "warm_up": False}
    with serve(max_waiting=64, **cheap) as server:
        yield server


@pytest.fixture(scope="module")
def api(described):
    config = SchemathesisConfig.from_path(TOOLS / "schemathesis.toml")
    load_all_checks()
    ours = {"positive_data_acceptance", "refused_for_its_meaning", "busy_says_when"}
    assert ours <= set(CHECKS.get_all_names())
    return schemathesis.openapi.from_url(f"{described.url}/api/v1/openapi.json", config=config)


@pytest.mark.parametrize(("path", "method", "mode"), ASKED)
def test_every_address_does_as_its_schema_says(api, path, method, mode):
    operation = api[path][method]

    @FEW
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case):
        case.call_and_validate(checks=CHECKS.get_all())

    ask()


def test_streams_are_described_event_by_event(described):
    paths = described.client.get("/api/v1/openapi.json").json()["paths"]
    streams = {path: of["get"] for path, of in paths.items() if path.endswith("/stream")}
    assert len(streams) >= 4
    for operation in streams.values():
        event = operation["responses"]["200"]["content"]["text/event-stream"]["itemSchema"]
        assert {"end", "problem"} <= set(event["properties"]["event"]["enum"])
