"""The command line, as a user calls it."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import torch
from typer.testing import CliRunner

from layerscope.app.cli import application
from layerscope.app.logs import configure
from layerscope.engine.basis.cores import on_cores
from layerscope.engine.diagnosis import run as run_module
from layerscope.engine.execution.network import Network
from layerscope.engine.experiment.specification import Experiment

PROGRAM = ["-c", "from layerscope.app.cli import main; main()"]
SMALL = ["--depth", "2", "--width", "8", "--batch", "4"]


@pytest.fixture
def layerscope():
    """The program within this process: loading torch anew takes seconds."""

    def call(*arguments, **environment):
        return CliRunner().invoke(application, arguments, env={"COLUMNS": "120", **environment})

    yield call
    configure("error", "text")  # the program's own log went to a stream that is closed now


def test_run_prints_a_table_and_a_verdict(layerscope):
    done = layerscope("run", *SMALL)
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == [
        "layer",
        "kind",
        "std",
        "mean",
        "zeros",
        "NaN",
        "Inf",
        "gradient",
        "std",
    ]
    assert [line.split()[0] for line in lines[1:6]] == [
        "linear1", "relu1", "linear2", "relu2", "linear3",
    ]  # fmt: skip
    assert all(re.search(r"\d$", line) for line in lines[1:6]), "no gradient in the last column"
    assert re.search(r"^loss \d", done.stdout, re.MULTILINE)
    assert re.search(r"^\s+ok  ", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("check", [True, False])
def test_json_is_the_apis_result(layerscope, server, check):
    done = layerscope("run", *SMALL, "--residual", "--json", *["--check"] * check)
    told = json.loads(done.stdout)
    assert (told["check"] is not None) is check
    query = {"depth": 2, "width": 8, "batch": 4, "residual": "true", "check": str(check).lower()}
    asked = server.client.get("/api/v1/experiment", params=query).json()
    del told["timing"], asked["timing"]
    assert told == asked


@pytest.mark.parametrize("form", ["--json", None])
def test_a_run_takes_as_many_threads_as_the_server(layerscope, monkeypatch, form):
    """On some processors products of matrices have other bits on two."""
    seen = []

    def network(experiment):
        seen.append(torch.get_num_threads())
        return Network(experiment)

    monkeypatch.setattr(run_module, "Network", network)
    with on_cores(2):
        assert layerscope("run", *SMALL, *filter(None, [form])).exit_code == 0
    assert set(seen) == {1}


def test_every_parameter_is_an_option(layerscope):
    text = layerscope("run", "--help").stdout
    for name in Experiment.model_fields:
        assert f"--{name.replace('_', '-')}" in text
    assert "--no-residual" in text
    assert "linear, [norm], activation" in " ".join(text.split())


def test_bad_parameters_are_named(layerscope):
    done = layerscope("run", "--depth", "0", "--width", "x", "--init-scale", "nan")
    assert done.exit_code == 2
    assert "--depth: expected a whole number from 1 to 1000, got '0'" in done.stderr
    assert "--width: expected a whole number from 1 to 4096, got 'x'" in done.stderr
    assert "--init-scale: expected a number from 0 to 100, got 'nan'" in done.stderr
    assert done.stdout == ""
    done = layerscope("run", "--init", "randn")
    assert done.exit_code == 2
    assert "--init: expected one of: normal, " in done.stderr


def test_over_a_limit(layerscope):
    done = layerscope("run", "--depth", "9", LAYERSCOPE_MAX_FLOPS="1e6")
    assert done.exit_code == 2
    assert "times the limit of 1e+06" in done.stderr


def test_bad_settings_are_named(layerscope):
    done = layerscope("serve", LAYERSCOPE_PORT="x")
    assert done.exit_code == 2
    assert "LAYERSCOPE_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_setting_is_named(layerscope):
    for command in ("serve", "run"):
        done = layerscope(command, LAYERSCOPE_MAX_FLOP="1")
        assert done.exit_code == 2
        assert (
            "LAYERSCOPE_MAX_FLOP is no setting; did you mean LAYERSCOPE_MAX_FLOPS?" in done.stderr
        )


def test_an_address_that_cannot_be_had_is_said_before_anything_is_compiled(layerscope, monkeypatch):
    monkeypatch.setattr("layerscope.app.server.serve", lambda *_: pytest.fail("went on"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = layerscope("serve", "--port", str(port))
    assert done.exit_code == 1
    assert f"Cannot listen on 127.0.0.1:{port}: Address already in use." in done.stderr
    assert "starting" not in done.stderr
    done = layerscope("serve", "--host", "no.such.name.invalid")
    assert done.exit_code == 1
    assert "Cannot listen on no.such.name.invalid:8000: " in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--fail-on", "error"], 1),
        (["--fail-on", "warning"], 1),
        ([], 0),
        (["--fail-on", "error", "--json"], 1),
    ],
)
def test_fail_on_a_finding(layerscope, arguments, code):
    done = layerscope("run", "--activation", "linear", "--init", "normal", *arguments)
    assert done.exit_code == code, done.stdout + done.stderr
    assert "nonfinite" in done.stdout or "overflow" in done.stdout


def test_a_fix_that_was_tried_is_shown_as_options(layerscope):
    broken = ["--activation", "linear", "--init", "normal"]
    done = layerscope("run", *broken)
    (options,) = re.findall(r"^\s+fix  (--.*) \(tried", done.stdout, re.MULTILINE)
    cured = layerscope("run", *broken, *options.split(), "--fail-on", "error")
    assert cured.exit_code == 0, cured.stdout


def test_a_scale_that_adam_divides_out_is_no_error(layerscope):
    alone = ["--depth", "5", "--width", "32", "--batch", "32", "--init-scale", "0.1"]
    done = layerscope("run", *alone, "--fail-on", "error")
    assert done.exit_code == 0, done.stdout
    said = " ".join(done.stdout.split())
    assert "Adam learns (rate" in said
    assert "SGD does not (rates 0.01, 0.1:" in said
    assert layerscope("run", *alone, "--fail-on", "warning").exit_code == 1


def test_fail_on_nothing(layerscope):
    assert layerscope("run", *SMALL, "--fail-on", "warning").exit_code == 0


def test_unknown_options_and_help(layerscope):
    assert layerscope("run", "--bogus").exit_code == 2
    assert layerscope("--version").stdout.strip()
    assert "serve" in layerscope("--help").stdout


@pytest.mark.slow
def test_serve_until_interrupted():
    process = subprocess.Popen(
        [sys.executable, *PROGRAM, "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        env={**os.environ, "LAYERSCOPE_LOG_FORMAT": "json", "LAYERSCOPE_WARM_UP": "false"},
    )
    try:
        lines, url = [], None
        while url is None:
            assert select.select([process.stderr], [], [], 60)[0], lines
            lines.append(process.stderr.readline().decode())
            assert lines[-1], lines
            url = re.search(r"http://127\.0\.0\.1:\d+", lines[-1])
        # A stream that would run for seconds does not hold the server up.
        slow = "/api/v1/experiment/stream?depth=200&width=700&batch=500"
        with httpx.stream("GET", url[0] + slow, timeout=20) as response:
            received = response.iter_lines()
            assert next(received) == "event: start"
            process.send_signal(signal.SIGINT)
            rest = process.stderr.read().decode().splitlines()
        assert process.wait(20) in (0, 130)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    records = [json.loads(line) for line in rest]
    access = [r for r in records if r["event"] == "request"]
    assert access[0]["path"] == "/api/v1/experiment/stream"
    assert access[0]["status"] == 200
    assert not any("Traceback" in line for line in rest)


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_an_interrupted_run_ends_quietly(layerscope, monkeypatch, arguments):
    def interrupted(*_, **__):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("layerscope.app.cli.unchecked_events", interrupted)
    monkeypatch.setattr("layerscope.app.cli.complete", lambda *_, **__: next(interrupted()))
    done = layerscope("run", *SMALL, *arguments)
    assert done.exit_code == 130
    assert "Traceback" not in done.output


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_pipe_that_nobody_reads_ends_it_quietly(arguments, interpreter):
    reading, writing = os.pipe()
    os.close(reading)
    done = interpreter.run(*PROGRAM, "run", *SMALL, *arguments, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_full_disk_is_said(arguments, interpreter):
    with Path("/dev/full").open("w") as full:
        done = interpreter.run(*PROGRAM, "run", *SMALL, *arguments, stdout=full)
    assert done.returncode == 74
    assert done.stderr == "The output could not be written: No space left on device.\n"


def test_beyond_this_machine_a_token_is_made_and_printed(layerscope, monkeypatch):
    served = []

    def serve(settings, listener):
        served.append(settings)
        listener.close()
        return True

    monkeypatch.setattr("layerscope.app.server.serve", serve)
    done = layerscope("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.exit_code == 0, done.stderr
    address = re.search(r"http://127\.0\.0\.1:\d+/\?token=(\S{20,})", done.stderr)
    assert served[0].token.get_secret_value() == address[1]
    given = layerscope("serve", "--host", "0.0.0.0", "--port", "0", "--token", "mine")
    none = layerscope("serve", "--host", "0.0.0.0", "--port", "0", LAYERSCOPE_TOKEN="")
    home = layerscope("serve", "--port", "0")
    assert all("token=" not in done.stderr for done in (given, none, home))
    assert "mine" not in given.stderr
    assert served[1].token.get_secret_value() == "mine"
    assert served[2].token.get_secret_value() == ""
    assert served[3].token is None


def test_warm_up_compiles_and_says_nothing(layerscope):
    done = layerscope("warm-up")
    assert (done.exit_code, done.output) == (0, "")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (("new", "/cache/here"), "the next start finds them in /cache/here"),
        (("nowhere", ""), "at every start: no folder to keep them in can be written"),
        (("kept", "/cache/here"), None),
    ],
)
def test_a_start_that_compiles_says_why_it_takes_long(layerscope, monkeypatch, state, said):
    monkeypatch.setattr("layerscope.app.server.serve", lambda _, listener: not listener.close())
    monkeypatch.setattr("layerscope.app.cli.machine_code", lambda: state)
    told = " ".join(layerscope("serve", "--port", "0").stderr.split())
    assert ("half a minute" in told) is bool(said)
    assert (said or "starting") in told
    assert "half a minute" not in layerscope("serve", "--port", "0", LAYERSCOPE_WARM_UP="0").stderr
