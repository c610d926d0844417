"""Events on the wire: order, content, when they come, and what ends them."""

from __future__ import annotations

import threading

import httpx
import orjson
import pytest

from layerscope.engine.experiment.specification import Experiment
from tests import working

pytestmark = pytest.mark.slow

SLOW = {"depth": 200, "width": 700, "batch": 500, "seed": 1}
"""Seconds of work: some 3e11 operations, within the default limit."""


def events(lines):
    """(name, data, id) of each event, from the lines of a stream."""
    name, data, identity = "message", [], None
    for line in lines:
        if line == "":
            if data:
                yield name, orjson.loads("\n".join(data)), identity
            name, data, identity = "message", [], None
        elif not line.startswith(":"):
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif field == "id":
                identity = value


def stream(server, headers=None, **parameters):
    url = "/api/v1/experiment/stream"
    return server.client.stream("GET", url, params=parameters, headers=headers or {})


def collect(server, **parameters):
    with stream(server, **parameters) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in response.headers
        return list(events(response.iter_lines()))


def assemble(found):
    """The whole result, put together from a stream's events."""
    by_name = {name: data for name, data, _ in found}
    layers = {}
    for name, data, _ in found:
        if name == "forward":
            layers.update({layer["index"]: layer for layer in data["layers"]})
        elif name == "backward":
            for record in data["layers"]:
                layer = layers[record["index"]]
                for parameter, value in record["parameters"].items():
                    layer["parameters"][parameter].update(value)
                layer.update({k: v for k, v in record.items() if k != "parameters"})
    by_name["summary"].update(by_name.get("trial", {}))
    for name, data, _ in found:
        if name == "fix":
            finding = by_name["summary"]["findings"][data["finding"]]
            finding.update(fix=data["fix"], fix_verified=data["fix_verified"])
    return {
        "experiment": by_name["start"]["experiment"],
        "layers": [layers[index] for index in sorted(layers)],
        **by_name["summary"],
        "check": by_name["check"],
    }


def without_timing(result):
    return {k: v for k, v in result.items() if k != "timing"}


@pytest.mark.parametrize(
    "parameters",
    [
        {"depth": 5},
        {"depth": 4, "norm": "batch", "residual": "true", "bias_std": "0.5"},
        {"activation": "linear", "init": "normal"},
        {"depth": 5, "width": 32, "batch": 32, "init_scale": "0.1"},
        {"data": "digits", "loss": "cross_entropy", "depth": 2, "dtype": "float64"},
    ],
)
def test_stream_get_and_post_have_identical_numbers(server, parameters):
    streamed = assemble(collect(server, **parameters))
    asked = {**parameters, "check": "true"}
    got = server.client.get("/api/v1/experiment", params=asked).json()
    body = Experiment.from_strings((k, str(v)) for k, v in parameters.items()).to_dict()
    posted = server.client.post("/api/v1/experiment", json={**body, "check": True}).json()
    assert without_timing(got) == without_timing(posted) == without_timing(streamed)


def test_order_and_completeness(server):
    found = collect(server, depth=50)
    names = [name for name, _, _ in found]
    assert names[0] == "start"
    assert names[-3:] == ["summary", "check", "end"]
    order = [n for n in names if n in ("forward", "backward")]
    assert order == sorted(order, key=["forward", "backward"].index)
    forward = [r["index"] for n, d, _ in found if n == "forward" for r in d["layers"]]
    backward = [r["index"] for n, d, _ in found if n == "backward" for r in d["layers"]]
    assert forward == list(range(101))
    assert backward == list(reversed(range(101)))
    assert [r["name"] for r in found[0][1]["layers"]][:2] == ["linear1", "relu1"]


def test_a_trial_comes_last_and_keeps_the_fixes(server):
    found = collect(server, depth=5, width=32, batch=32, init_scale="0.1")
    names = [name for name, _, _ in found]
    assert names[names.index("summary") :] == ["summary", "check", "fix", "trial", "end"]
    data = {name: data for name, data, _ in found}
    fixed = data["trial"]["findings"][data["fix"]["finding"]]
    assert (fixed["fix"], fixed["fix_verified"]) == (data["fix"]["fix"], True)
    assert data["summary"]["trial"] is None
    assert data["summary"]["verdict"]["severity"] == "error"
    assert data["trial"]["verdict"]["severity"] == "warning"
    assert data["trial"]["trial"]["learned"] == {"Adam": True, "SGD": False}


def test_layers_are_batched_but_the_first_is_sent_at_once(server):
    found = collect(server, depth=50, width=500, batch=500)  # a few milliseconds a layer
    sizes = [len(d["layers"]) for n, d, _ in found if n == "forward"]
    assert sizes[0] < 20
    assert len(sizes) < 101


def test_records_arrive_while_later_layers_are_still_computed(server):
    arrivals, running = [], []
    with stream(server, depth=40, width=1000, batch=1000) as response:
        for name, data, _ in events(response.iter_lines()):
            if name == "forward":
                arrivals.append([layer["index"] for layer in data["layers"]])
                running.append(server.compute.active)
    assert [index for batch in arrivals for index in batch] == list(range(81))
    assert len(arrivals) > 10
    assert running[0] == 1


def test_a_client_that_comes_back_after_the_end_gets_nothing(server):
    found = collect(server, depth=2)
    last_id = found[-1][2]
    assert last_id
    assert all(identity is None for _, _, identity in found[:-1])
    with stream(server, {"Last-Event-ID": last_id}, depth=2) as response:
        assert response.status_code == 204
        assert response.read() == b""
    with stream(server, {"Last-Event-ID": last_id}, depth=3) as response:
        assert response.status_code == 200


def test_closing_the_connection_stops_the_computation(serve, until):
    with serve(max_concurrent=1) as server:
        with stream(server, **SLOW) as response:
            received = events(response.iter_lines())  # kept: httpx closes what nobody holds
            assert next(received)[0] == "start"
            assert server.compute.active == 1
        until(lambda: server.compute.active == 0)


def test_a_result_nobody_waits_for_is_not_computed(serve, until):
    with serve(max_concurrent=1) as server:
        with pytest.raises(httpx.ReadTimeout):
            server.client.get("/api/v1/experiment", params=SLOW, timeout=0.3)
        until(lambda: server.compute.active == 0)


def test_a_stream_that_fails_says_so_and_ends(serve, monkeypatch):
    with serve(warm_up=False) as server:
        monkeypatch.setattr("layerscope.app.api.experiment.result_events", working.failing_events)
        (first, _, _), (name, problem, _) = collect(server, depth=1)
    assert (first, name) == ("start", "problem")
    assert problem["status"] == 500
    assert "mistake" not in str(problem)


def test_too_many_at_once_are_told_to_retry(serve, until):
    with serve(max_concurrent=1, max_waiting=1, max_wait_seconds=0.5) as server:
        with stream(server, **SLOW) as response:
            received = events(response.iter_lines())
            next(received)
            waiting = threading.Thread(
                target=lambda: server.client.get("/api/v1/experiment", params=SLOW)
            )
            waiting.start()
            until(lambda: server.compute.waiting == 1)
            refused = server.client.get("/api/v1/experiment", params=SLOW | {"seed": 2})
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            assert refused.json()["type"] == "/docs#problem-busy"
            waiting.join()
            late = server.client.get("/api/v1/experiment", params=SLOW | {"seed": 3})
            assert late.status_code == 503
            assert "0.5 s" in late.json()["detail"]
            # What costs little or nothing is still answered.
            layer = {"depth": 1, "layer": 0, "tensor": "weight", "format": "json"}
            assert server.client.get("/api/v1/experiment/tensor", params=layer).status_code == 200
            assert server.client.get("/healthz").json()["computing"] == 1
        until(lambda: server.compute.active == 0)
        assert server.client.get("/api/v1/experiment", params={"depth": 1}).status_code == 200


def test_a_stopping_server_ends_its_streams(serve):
    with serve(max_concurrent=1) as server:
        context = stream(server, **SLOW)
        response = context.__enter__()
        received = events(response.iter_lines())
        assert next(received)[0] == "start"
        server.loop.call_soon_threadsafe(server.compute.close)
        *_, (name, problem, _) = received
        assert (name, problem["status"]) == ("problem", 503)
        assert problem["detail"] == "The server is stopping."
        context.__exit__(None, None, None)
        refused = server.client.get("/api/v1/experiment", params={"depth": 1})
        assert refused.status_code == 503


def test_an_expensive_experiment_is_not_checked_and_says_why(serve):
    with serve(check_max_flops=1e5) as server:
        found = collect(server, depth=3)
        check = {name: data for name, data, _ in found}["check"]
        assert check["autograd_max_relative_error"] is None
        assert "1e+05" in check["reason"]
        query = {"depth": 3, "check": "true"}
        assert server.client.get("/api/v1/experiment", params=query).json()["check"] == check


def test_the_event_loop_answers_while_a_computation_runs(server):
    with stream(server, **SLOW) as response:
        received = events(response.iter_lines())
        next(received)
        for _ in range(20):
            assert server.client.get("/healthz").status_code == 200
        assert server.compute.active >= 1
