"""Trainings of ours over the API and on their pages: begun, led, killed, gone on with, branched."""

from __future__ import annotations

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from layerscope.app.compute import DYING_SECONDS
from layerscope.app.figures.text import number
from layerscope.app.pages.runs import tensors as pages
from layerscope.app.trainings import NICE
from layerscope.engine.execution.cost import Cost
from layerscope.engine.experiment import Experiment
from layerscope.engine.training import Trainer, Training
from layerscope.engine.training.folder import Change, TrainingFolder
from layerscope.engine.training.presets import TRAINING_PRESETS
from tests.runs import recorded_run
from tests.serving import wait_until

pytestmark = pytest.mark.slow

API = "/api/v1/runs"
TINY = {"depth": 2, "width": 8, "batch": 16, "activation": "tanh"}
LONG = {"steps": 100_000, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def site(serve, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trainings")
    with serve(data_dir=folder, warm_up=False, max_trainings=2) as running:
        yield running


@pytest.fixture
def client(site):
    yield site.client
    for run in site.client.get(API).json()["runs"]:
        site.client.post(f"{API}/{run['id']}/stop")
    wait_until(lambda: not site.app.state.trainings._running)


def begin(client, training, experiment=TINY, **others):
    answer = client.post(API, json={"experiment": experiment, "training": training, **others})
    assert answer.status_code == 202, answer.text
    run = answer.json()["id"]
    assert answer.headers["location"] == f"{API}/{run}"
    return run


def known(client, run):
    return client.get(f"{API}/{run}").json()


def last(client, run):
    return known(client, run)["last_step"] or 0


def losses(client, run):
    return client.get(f"{API}/{run}/series?quantity=loss&points=2000").json()["values"][0]


def test_a_training_is_begun_and_its_losses_are_the_engines(client):
    run = begin(client, {"steps": 12, "learning_rate": 0.05}, name="tiny")
    wait_until(lambda: known(client, run)["state"] == "finished")
    trainer = Trainer(Experiment(**TINY), Training(steps=12, learning_rate=0.05))
    assert losses(client, run) == [trainer.advance().loss for _ in range(12)]
    told = known(client, run)
    assert told["name"] == "tiny"
    assert told["config"]["training"]["learning_rate"] == 0.05
    assert [m["name"] for m in told["modules"]][:2] == ["linear1", "tanh1"]
    page = client.get(f"/runs/{run}")
    assert "tanh 2×8, sgd 0.05, 12 steps" in page.text
    assert client.post(f"{API}/{run}/resume").status_code == 409


def test_it_is_paused_stepped_led_stopped_and_goes_on(client):
    run = begin(client, LONG)
    wait_until(lambda: last(client, run) > 3)
    assert client.post(f"{API}/{run}/pause").status_code == 200
    for _ in range(3):
        assert client.post(f"{API}/{run}/step").status_code == 200
    numbers = [last(client, run)]

    def still():  # longer than the store takes to be told
        numbers.append(last(client, run))
        return len(numbers) > 400 and len(set(numbers[-400:])) == 1

    wait_until(still)
    at = numbers[-1]
    assert client.post(f"{API}/{run}/step").status_code == 200
    wait_until(lambda: last(client, run) == at + 1)
    assert client.post(f"{API}/{run}/rate", json={"learning_rate": 0.25}).status_code == 200
    assert client.post(f"{API}/{run}/resume").status_code == 200
    wait_until(lambda: last(client, run) > at + 4)
    assert client.post(f"{API}/{run}/stop").status_code == 200
    wait_until(lambda: known(client, run)["state"] == "stopped")
    series = client.get(f"{API}/{run}/series?quantity=learning_rate&points=2000").json()
    rates = dict(zip(series["steps"], series["values"][0], strict=True))
    assert rates[at] == 0.01
    assert rates[max(rates)] == 0.25
    stopped = last(client, run)
    assert client.post(f"{API}/{run}/resume").status_code == 200
    wait_until(lambda: last(client, run) > stopped)


def test_a_killed_one_reads_as_stopped_and_goes_on_to_the_same_bits(site, client):
    run = begin(client, LONG)
    began = time.monotonic()  # one that dies at once is begun again without a word
    wait_until(lambda: last(client, run) > 20 and time.monotonic() - began > 2 * DYING_SECONDS)
    workers = site.app.state.trainings._compute.workers.pids
    assert max(os.getpriority(os.PRIO_PROCESS, pid) for pid in workers) == NICE
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: known(client, run)["state"] == "stopped")
    assert client.post(f"{API}/{run}/resume").status_code == 200
    at = last(client, run)
    wait_until(lambda: last(client, run) > at + 5)
    client.post(f"{API}/{run}/stop")
    wait_until(lambda: known(client, run)["state"] == "stopped")
    count = min(last(client, run), 60)
    trainer = Trainer(Experiment(**TINY), Training(**LONG))
    expected = [trainer.advance().loss for _ in range(count)]
    found = client.get(f"{API}/{run}/series?quantity=loss&to={count}&points=2000").json()
    assert found["steps"] == list(range(1, count + 1))
    assert found["values"][0] == expected


def test_it_begins_again_from_a_step_as_a_run_of_its_own(client):
    run = begin(client, {"steps": 30, "learning_rate": 0.05})
    wait_until(lambda: known(client, run)["state"] == "finished")
    answer = client.post(f"{API}/{run}/rewind", json={"step": 10})
    assert answer.status_code == 202
    other = answer.json()["id"]
    assert last(client, other) == 10
    assert known(client, other)["config"]["from"] == {"run": run, "step": 10}
    assert known(client, other)["modules"] == known(client, run)["modules"]
    client.post(f"{API}/{other}/resume")
    wait_until(lambda: known(client, other)["state"] == "finished")
    assert losses(client, other) == losses(client, run)
    assert client.post(f"{API}/{run}/rewind", json={"step": 31}).status_code == 422


def test_more_than_so_many_are_refused(client):
    runs = [begin(client, LONG) for _ in range(2)]
    refused = client.post(API, json={"experiment": TINY, "training": LONG})
    assert refused.status_code == 503
    assert "retry-after" in refused.headers
    page = client.post("/train", data={"depth": "2", "steps": "10"})
    assert page.status_code == 503
    assert "2 trainings run already" in page.text
    client.post(f"{API}/{runs[0]}/stop")
    wait_until(lambda: known(client, runs[0])["state"] == "stopped")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"training": {"steps": 0}}, "training.steps"),
        ({"training": {"optimizer": "lion"}}, "training.optimizer"),
        ({"training": {"learning_rate": "fast"}}, "training.learning_rate"),
        ({"training": {"steps": 10, "warm_up": 11}}, "training.warm_up"),
        ({"experiment": {"depth": 0}}, "experiment.depth"),
        ({"experiment": []}, "experiment.body"),
        ({"nmae": "x"}, "nmae"),
        ({"name": ""}, "name"),
        ([], "body"),
    ],
)
def test_what_is_wrong_is_named(client, body, field):
    answer = client.post(API, json=body)
    assert answer.status_code == 422
    assert [e["field"] for e in answer.json()["errors"]] == [field]
    assert client.get(API).status_code == 200


def test_a_step_over_the_limits_is_refused_before_anything_is_begun(client):
    before = len(client.get(API).json()["runs"])
    big = {"depth": 1000, "width": 4096, "batch": 60000}
    answer = client.post(API, json={"experiment": big})
    assert answer.json()["type"].endswith("over-limit")
    assert len(client.get(API).json()["runs"]) == before


def test_only_ours_are_led(client):
    for action in ("stop", "pause", "resume", "step"):
        assert client.post(f"{API}/nobody/{action}").status_code == 404
    assert client.post(f"{API}/nobody/rate", json={"learning_rate": 1}).status_code == 404
    assert client.post(f"{API}/nobody/rewind", json={"step": 1}).status_code == 404
    assert client.post(f"{API}/nobody/rate", json={"learning_rate": -1}).status_code == 422


def test_the_page_begins_one_and_leads_it_without_scripts(client):
    preset = TRAINING_PRESETS[0]
    query = {**preset.experiment.to_query(), **preset.training.to_query(), "steps": "40"}
    page = client.get("/train", params=query)
    assert 'name="data" value="digits"' in page.text
    begun = client.post("/train", data=query)
    assert begun.status_code == 303
    there = begun.headers["location"]
    run = there.rpartition("/")[2]
    assert client.get(there).status_code == 200
    led = client.post(f"{there}/lead", data={"do": "rate", "learning_rate": "fast"})
    assert led.status_code == 303
    bar = client.post(f"{there}/lead", data={"do": "rate", "learning_rate": "fast"},
                      headers={"HX-Request": "true"})  # fmt: skip
    assert "expected a number" in bar.text
    wait_until(lambda: known(client, run)["state"] == "finished")
    again = client.post(f"{there}/lead", data={"do": "rewind", "step": "7"},
                        headers={"HX-Request": "true"})  # fmt: skip
    assert again.headers["hx-redirect"].startswith("/runs/")
    assert [f for f in known(client, run)["findings"] if f["severity"] != "info"] == []


def test_what_is_posted_by_no_form_is_refused(client):
    many = "&".join(f"a{i}=1" for i in range(200))
    for path in ("/train", "/runs/nobody/lead", "/runs/nobody/name", "/maps"):
        for body in (b"\xff\xfe", many.encode()):
            answer = client.post(path, content=body)
            assert answer.status_code == 422, path


@pytest.mark.parametrize(
    ("text", "status"), [("{}", 409), ("no json", 409), ('{"experiment": {"depth": 0}}', 409)]
)
def test_files_that_can_no_longer_be_read_make_no_page_fail(site, client, text, status):
    run = begin(client, {"steps": 2})
    wait_until(lambda: known(client, run)["state"] == "finished")
    folder = site.app.state.trainings.folder(run)
    (folder.path / "training.json").write_text(text)
    assert client.get(f"/runs/{run}").status_code == 200
    assert client.post(f"{API}/{run}/rewind", json={"step": 1}).status_code == status
    assert client.post(f"{API}/{run}/resume").status_code == status


def test_a_folder_that_takes_nothing_is_said(site, client, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TrainingFolder, "create", full)
    answer = client.post(API, json={"training": {"steps": 2}})
    assert answer.status_code == 503
    assert "No space left" in answer.json()["detail"]
    monkeypatch.undo()
    begin(client, {"steps": 2})  # and its place was given back


def test_two_that_are_begun_at_once_do_not_share_the_last_place(site, client):
    begin(client, LONG)
    with ThreadPoolExecutor(4) as threads:
        body = {"experiment": TINY, "training": LONG}
        codes = list(threads.map(lambda _: client.post(API, json=body).status_code, range(4)))
    assert sorted(codes) == [202, 503, 503, 503]


def test_the_lab_leads_here(client):
    assert "/train?depth=2" in client.get("/?depth=2&width=8").text.replace("&amp;width=8", "")


def tensors(client, run, query):
    return client.get(f"/runs/{run}/tensors?{query}")


def test_a_steps_tensors_are_computed_anew_as_pictures_with_the_recorded_figures(client):
    run = begin(client, {"steps": 60, "learning_rate": 0.05})
    wait_until(lambda: known(client, run)["state"] == "finished")
    answer = tensors(client, run, "module=linear2&step=47")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    # Of sixty steps every third has a checkpoint.
    assert "Computed anew, 2 steps from the checkpoint after step 45." in answer.text
    assert "Their figures are the recorded ones, to the last bit." in answer.text
    assert re.findall(r"<b>(.*?)</b>", answer.text) == [
        "output", "∂L/∂output", "weight", "weight gradient",
    ]  # fmt: skip
    series = f"{API}/{run}/series?modules=linear2&from=47&to=47&quantity="
    said = re.findall(r'class="seen num">std ([^,]+),', answer.text)
    for place, quantity in enumerate(("std", "gradient_std", "weight_std")):
        ((value,),) = client.get(series + quantity).json()["values"]
        assert said[place] == number(value)
    first = tensors(client, run, "module=tanh1&step=1").text
    assert "Computed anew, 1 step from the beginning." in first
    assert first.count("<canvas") == 2
    page = client.get(f"/runs/{run}?module=tanh1&step=5").text
    assert "Pictures of the tensors at step 5" in page


def test_tensors_whose_figures_are_others_than_the_recorded_say_so(site, client):
    run = begin(client, {"steps": 12, "learning_rate": 0.05})
    wait_until(lambda: known(client, run)["state"] == "finished")
    folder = site.app.state.trainings.folder(run)
    for kept in folder.checkpoints():
        (folder.path / f"{kept}.pt").unlink()
    assert "12 steps from the beginning. Their figures are" in tensors(
        client, run, "module=linear1"
    ).text  # fmt: skip
    folder.change([Change(3, 0.5)])
    other = tensors(client, run, "module=linear1&step=9").text
    assert "Of 6 the figures are not those that were recorded: output std" in other
    assert "the recorded ones" not in other
    (folder.path / "changes.json").write_text("{")
    assert tensors(client, run, "module=linear1&step=9").status_code == 409


def test_why_there_are_no_pictures_is_said(site, client, monkeypatch):
    run = begin(client, {"steps": 12, "learning_rate": 0.05})
    wait_until(lambda: known(client, run)["state"] == "finished")
    unknown = tensors(client, run, "module=nowhere")
    assert (unknown.status_code, "no module" in unknown.text) == (404, True)
    assert tensors(client, run, "module=linear1&step=x").status_code == 422
    assert tensors(client, "none", "module=linear1").status_code == 404
    recorded_run(site.app.state.store, "of-a-probe", {}, [[1.0]])
    theirs = tensors(client, "of-a-probe", "module=block.0.linear")
    assert theirs.status_code == 409
    assert "figures were recorded, not tensors" in theirs.text
    assert (
        "Pictures of the tensors" not in client.get("/runs/of-a-probe?module=block.0.linear").text
    )
    monkeypatch.setattr(pages, "again_cost", lambda *_: Cost(10**18, 1))
    far = tensors(client, run, "module=linear1&step=9")
    assert far.status_code == 422
    assert "computing step 9 anew, 1 step from the checkpoint after step 8, needs" in far.text
    assert "a step soon after a checkpoint, as 8, 9, 10, 11 are" in far.text
