"""``layerscope map``: CSV and a table, axes as they are typed, and what is refused."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from layerscope.app.cli import application
from layerscope.app.commands import maps
from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.diagnosis.run import result
from layerscope.engine.experiment import Experiment
from tests.mapping import Here

SMALL = ["--width", "8", "--batch", "8"]


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setattr(maps, "Crew", Here)
    monkeypatch.setenv("LAYERSCOPE_DATA_DIR", str(tmp_path))

    def call(*arguments):
        return CliRunner().invoke(application, ["map", *arguments])

    return call


def test_csv_has_every_cell_with_all_digits(run):
    done = run("--x", "init_scale=0.5:2:3:log", "--y", "depth=1,3", "--outcome", "loss", "--csv",
               *SMALL)  # fmt: skip
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "init_scale,depth,loss,spread,text"
    assert len(lines) == 7
    for line in lines[1:]:
        scale, depth, loss, *_ = line.split(",")
        e = Experiment(width=8, batch=8, depth=int(depth), init_scale=float(scale))
        assert float(loss) == result(e, check=False, fixes=False)["loss"]


def test_without_csv_it_is_a_table(run):
    done = run("--x", "activation=relu,tanh", "--y", "depth=1,2", "--outcome", "finding", *SMALL)
    assert done.exit_code == 0, done.output
    assert "Largest finding" in done.stdout
    assert "relu" in done.stdout


def test_a_training_and_a_preset_with_other_axes(run):
    done = run("--preset", "learning-rate", "--x", "learning_rate=0.01,0.1", "--y", "depth=1,2",
               "--steps", "3", "--csv", "--width", "8", "--batch", "16")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("learning_rate,depth,accuracy,")
    assert len(done.stdout.splitlines()) == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--x: expected PARAMETER=FROM:TO"),
        (["--x", "colour=1:2", "--y", "depth=1"], "--x parameter: expected one of"),
        (["--x", "depth=a:2", "--y", "width=1"], "--x from: expected a number"),
        (["--x", "depth=1:2:3:cubic", "--y", "width=1"], "--x scale: expected one of"),
        (["--x", "depth=1:2:x", "--y", "width=1"], "--x steps: expected a whole number"),
        (["--x", "depth=1.5", "--y", "width=1"], "--x values: expected a whole number"),
        (["--x", "depth=1", "--y", "width=1", "--batch", "0"], "batch: expected"),
        (["--x", "depth=1", "--y", "width=1", "--outcome", "beauty"], "outcome: expected one of"),
        (["--x", "depth=1", "--y", "width=1", "--seeds", "0"], "seeds: expected"),
        (["--preset", "nothing"], "unknown preset 'nothing'"),
        (["--x", "inputs=8,64", "--y", "width=1", "--data", "digits"], "base.inputs: at inputs 8"),
        (["--x", "depth=1:1000:200", "--y", "width=1:4096:200", "--seeds", "100"], "experiments"),
    ],
)
def test_what_is_refused_is_said_and_ends_with_2(run, arguments, said):
    done = run(*arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


def test_an_unknown_axis_is_the_callers():
    with pytest.raises(InvalidParameters):
        maps.typed_axis("colour=1,2", "--x")
