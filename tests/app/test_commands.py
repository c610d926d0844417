"""The commands about runs and checkpoints, as a user calls them."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from layerscope.app.cli import application
from layerscope.engine.probe.distributed import name_of_rank
from layerscope.engine.probe.watch import watch
from layerscope.engine.store import open_run

FINDING = {
    "rule": "nonfinite", "severity": "error", "title": "NaN from step 7 on", "since": 7,
    "modules": [f"block.{n}" for n in range(8)], "explanation": "Inf − Inf in [b]block.0[/b]",
    "fix": "model.half()\nscaler = GradScaler()", "fix_verified": True,
    "evidence": {"nan": math.inf},
}  # fmt: skip


@pytest.fixture
def layerscope(monkeypatch, tmp_path):
    monkeypatch.setenv("LAYERSCOPE_DATA_DIR", str(tmp_path))

    def call(*arguments, **environment):
        given = {"COLUMNS": "200", **environment}
        return CliRunner().invoke(application, list(map(str, arguments)), env=given)

    return call


def recorded(name, findings=(), to=None, loss=0.5, config=None):
    with open_run(to, name, config=config) as writer:
        writer.step(41, loss, b"")
        for finding in findings:
            writer.finding(finding)
    writer.store.close()
    return writer.id


def test_runs_are_listed_newest_first(layerscope, tmp_path):
    done = layerscope("runs")
    assert (done.exit_code, done.stdout) == (0, f"There is no run in {tmp_path}/runs.db.\n")
    first = recorded("digits", [FINDING], loss=math.nan)
    second = recorded("[bold]\x1b[31mhostile\n")
    done = layerscope("runs")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["id", second, first]
    assert "[bold]" in lines[1]
    assert "\x1b" not in done.stdout
    assert re.search(
        r"digits +finished +1 +not finite +just now +error  NaN from step 7 on", lines[2]
    )
    told = json.loads(layerscope("runs", "--json", "--limit", 1).stdout)
    assert [run["id"] for run in told["runs"]] == [second]
    rest = json.loads(layerscope("runs", "--json", "--before", told["next"]).stdout)
    assert [run["id"] for run in rest["runs"]] == [first]
    assert rest["next"] is None
    assert (rest["runs"][0]["last_loss"], rest["runs"][0]["verdict"]["severity"]) == (None, "error")
    assert f"--before {told['next']}" in layerscope("runs", "--limit", 1).stdout


def test_another_store_may_be_named(layerscope, tmp_path):
    run = recorded("elsewhere", to=tmp_path / "other.db")
    for given in (
        ["--store", tmp_path / "other.db"],
        ["--store", f"sqlite:///{tmp_path}/other.db"],
    ):
        assert run in layerscope("runs", *given).stdout
    assert run in layerscope("runs", LAYERSCOPE_STORE=f"sqlite:///{tmp_path}/other.db").stdout
    for wrong, said in (("oracel://u:secret@h/x", "got 'oracel://…'"), ("http://h", "is a server")):
        done = layerscope("runs", "--store", wrong)
        assert (done.exit_code, done.stdout) == (2, "")
        assert said in done.stderr
        assert "secret" not in done.stderr
    done = layerscope("serve", LAYERSCOPE_STORE="oracel://u:secret@h/x")
    assert done.exit_code == 2
    assert "store (LAYERSCOPE_STORE): expected a file, http://host:port or an" in done.stderr
    assert "secret" not in done.stderr
    (tmp_path / "broken.db").write_bytes(b"no database" * 1000)
    done = layerscope("runs", "--store", tmp_path / "broken.db")
    assert done.exit_code == 2
    assert "is no SQLite database." in done.stderr


def test_a_run_is_diagnosed_by_what_was_found_in_it(layerscope):
    run = recorded("digits", [{"rule": "frozen", "severity": "info", "title": "A note"}, FINDING])
    for words in (run, run[:15], "digits"):
        done = layerscope("diagnose", words)
        assert done.exit_code == 0, done.stderr
        lines = [line.strip() for line in done.stdout.splitlines()]
        assert lines == [
            f"{run}  digits: finished, 1 steps, loss 0.500",
            "error  nonfinite: NaN from step 7 on",
            "in block.0, block.1, block.2, block.3, block.4 and 3 more",
            "since step 7",
            "Inf − Inf in [b]block.0[/b]",
            "fix (tried):",
            "model.half()",
            "scaler = GradScaler()",
            "info  frozen: A note",
        ]
    told = json.loads(layerscope("diagnose", run, "--json").stdout)
    assert told["run"]["id"] == run
    assert [f["rule"] for f in told["findings"]] == ["nonfinite", "frozen"]
    assert told["findings"][0]["evidence"] == {"nan": None}


@pytest.mark.parametrize(
    ("severity", "on", "code"),
    [("error", "error", 1), ("error", "warning", 1), ("warning", "warning", 1),
     ("warning", "error", 0), ("info", "warning", 0), (None, "warning", 0)],
)  # fmt: skip
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_exit_codes_say_whether_something_was_found(layerscope, severity, on, code, more):
    found = [] if severity is None else [{"rule": "r", "severity": severity, "title": "t"}]
    run = recorded("x", found)
    done = layerscope("diagnose", run, "--fail-on", on, *more)
    assert done.exit_code == code
    assert done.stdout


def test_who_is_not_known_and_who_is_not_alone(layerscope):
    ids = [recorded("x"), recorded("x")]
    done = layerscope("diagnose", "nobody\x1b")
    assert done.exit_code == 2
    assert "RUN: there is no run nobody\N{REPLACEMENT CHARACTER} in" in done.stderr
    done = layerscope("diagnose", ids[0][:5])
    assert done.exit_code == 2
    assert f"is the beginning of several: {ids[1]}, {ids[0]}" in done.stderr
    assert ids[1] in layerscope("diagnose", "x").stdout  # of one name, the newest
    assert layerscope("diagnose", ids[0], "--fail-on", "info").exit_code == 2
    assert layerscope("diagnose").exit_code == 2


def rank(number, seed, name="mine"):
    """A training of two steps as one of two ranks has recorded it, its weights drawn by a seed."""
    torch.manual_seed(seed)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    own = name_of_rank(name, number, 2)
    with watch(model, optimizer, every=1, name=own, config={"rank": number, "ranks": 2}) as probe:
        for step in range(2):
            optimizer.zero_grad()
            loss = model(torch.ones(2, 4) * (1 + step)).square().mean()
            loss.backward()
            optimizer.step()
            probe.step(loss)
    assert probe.error is None, probe.error


def test_a_rank_is_held_against_the_others(layerscope):
    for number in (0, 1):
        rank(number, seed=0)
        rank(number, seed=number, name="apart")
    ids = {
        run["name"]: run["id"] for run in json.loads(layerscope("runs", "--json").stdout)["runs"]
    }
    pair = ", ".join(ids[f"mine, rank {number} of 2"] for number in (0, 1))
    done = layerscope("diagnose", "mine, rank 1 of 2", "--fail-on", "error")
    assert (done.exit_code, done.stderr) == (0, "")
    said = " ".join(done.stdout.split())
    assert f"the ranks' runs {pair}, in 2 steps: their parameters are the same" in said
    for number in (0, 1):
        done = layerscope("diagnose", f"apart, rank {number} of 2", "--fail-on", "error")
        assert done.exit_code == 1
        assert "error  ranks_apart: 2 parameters differ between 2 ranks" in done.stdout
    told = json.loads(layerscope("diagnose", "apart, rank 0 of 2", "--json").stdout)
    assert told["ranks"] == [ids[f"apart, rank {number} of 2"] for number in (0, 1)]
    assert told["findings"][0]["rule"] == "ranks_apart"


def test_a_rank_of_which_another_is_missing_is_told_of_alone(layerscope):
    rank(0, seed=0)
    told = json.loads(layerscope("diagnose", "mine, rank 0 of 2", "--json").stdout)
    assert "ranks" not in told
    # Settings and names are anybody's text.
    recorded("odd, rank 0 of 2", config={"rank": 0, "ranks": 2})
    recorded("odd, rank 1 of 2", config={"rank": 1, "ranks": 2})
    done = layerscope("diagnose", "odd, rank 0 of 2")
    assert done.exit_code == 0
    assert "can't be held against each other" in done.stdout
    for config in ({"rank": 0, "ranks": 10**9}, {"rank": "0", "ranks": 2}, {"rank": 5, "ranks": 2}):
        recorded("odd, rank 0 of 2", config=config)
        assert layerscope("diagnose", "odd, rank 0 of 2").exit_code == 0


@pytest.fixture
def checkpoint(tmp_path):
    weight = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    weight[1], weight[2] = weight[0], 0
    tensors = {
        "layer.weight": weight, "layer.bias": torch.tensor([1.0, math.nan, math.inf]),
        "large": torch.tensor([1e6, 1e-9, 1.0, 2.0]), "steps": torch.tensor([3]),
        "<script>alert(1)</script>\x1b": torch.zeros(2, 2),
    }  # fmt: skip
    save_file(tensors, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_a_checkpoint_as_a_table(layerscope, checkpoint):
    done = layerscope("inspect", checkpoint)
    assert done.exit_code == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "1 of 8 rows are zero; 1 of 8 rows are copies" in rows["layer.weight"]
    assert "1 NaN; 1 Inf" in rows["layer.bias"]
    assert re.search(r"1.00×10⁻⁹ +1.00×10⁶ +0.0 % +50.0%", rows["large"])  # in float16, 1e-9 is 0
    assert "all zero" in done.stdout
    assert "5 tensors, 44 entries, 180 B" in done.stdout
    assert "\x1b" not in done.stdout


def test_and_as_json(layerscope, checkpoint):
    told = json.loads(layerscope("inspect", checkpoint, "--json").stdout)
    tensors = {tensor["name"]: tensor for tensor in told["tensors"]}
    large = tensors["large"]["formats"]
    assert (large["float16"]["overflow"], large["float16"]["underflow"]) == (0.25, 0.25)
    assert (large["bfloat16"]["overflow"], large["bfloat16"]["underflow"]) == (0.0, 0.0)
    assert large["float8_e4m3fn"]["overflow"] == 0.25
    assert tensors["layer.bias"]["statistics"]["nan"] == 1
    assert tensors["layer.weight"]["rows"] == {"count": 8, "dead": 1, "duplicated": 1}
    assert tensors["steps"]["formats"] == {}
    assert told["totals"]["nan"] == 1
    assert told["totals"]["dead_rows"] == 3
    assert told["totals"]["tensors"] == 5


def test_and_as_a_page_of_its_own(layerscope, checkpoint, tmp_path):
    done = layerscope("inspect", checkpoint, "--html", tmp_path / "page.html")
    assert done.exit_code == 0, done.stderr
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search(r"(src|href)=|url\(|https?:", page)
    assert page.count("<svg") == 5 + 4 + 1  # tensors, formats, the axis
    assert "1 of 8 rows are copies" in page
    assert "<title>1 from 2^19</title>" in page  # 1e6
    done = layerscope("inspect", checkpoint, "--html", tmp_path / "no" / "page.html")
    assert done.exit_code == 2
    assert "No such file or directory" in done.stderr


def test_other_files_and_none(layerscope, tmp_path):
    np.savez(tmp_path / "a.npz", w=np.ones((3, 2)), odd=np.array([object()], dtype=object))
    done = layerscope("inspect", tmp_path / "a.npz")
    assert done.exit_code == 0, done.stderr
    assert "2 of 3 rows are copies" in done.stdout
    assert "not read: objects would have to be unpickled" in done.stdout
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 20)
    for name, said in (("x.safetensors", "a header of 18446744073709551615 bytes"),
                       ("gone.pt", "No such file or directory")):  # fmt: skip
        done = layerscope("inspect", tmp_path / name)
        assert (done.exit_code, done.stdout) == (2, "")
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_an_empty_checkpoint(layerscope, tmp_path):
    save_file({}, tmp_path / "none.safetensors")
    done = layerscope("inspect", tmp_path / "none.safetensors", "--html", tmp_path / "p.html")
    assert done.exit_code == 0, done.stderr
    assert "0 tensors, 0 entries, 0 B" in done.stdout


def test_what_is_piped_is_cut_at_no_width_and_a_narrow_terminal_loses_no_figure(
    layerscope, checkpoint, monkeypatch
):
    monkeypatch.delenv("COLUMNS", raising=False)
    wide = CliRunner().invoke(application, ["inspect", str(checkpoint)])
    assert "1 of 8 rows are zero; 1 of 8 rows are copies" in wide.stdout
    narrow = layerscope("inspect", checkpoint, COLUMNS="60").stdout
    assert "…" not in narrow
