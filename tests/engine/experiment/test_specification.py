import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.basis.specification import written
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.recording import record_all
from layerscope.engine.execution.script import as_pytorch
from layerscope.engine.experiment.data import DATASETS, Sample, dataset
from layerscope.engine.experiment.specification import Experiment


def errors_of(make):
    with pytest.raises(InvalidParameters) as caught:
        make()
    return caught.value.errors


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("depth", "0"), ("depth", "1001"), ("depth", "2.5"), ("depth", "-3"), ("depth", "fifty"),
        ("depth", ""), ("depth", "1_0"), ("depth", "9" * 50), ("depth", "0x10"),
        ("width", "4097"), ("inputs", "0"), ("batch", "65537"), ("init_scale", "-1"),
        ("init_scale", "100.01"), ("init_scale", "nan"), ("init_scale", "inf"),
        ("init_scale", "-0.0"), ("init_scale", "1e999"), ("init_scale", "--1"),
        ("bias_std", "-0"), ("activation", "rleu"), ("activation", ""), ("init", "he"),
        ("norm", "group"), ("residual", "yes"), ("data", "mnist"), ("loss", "nll"),
        ("dtype", "int8"), ("seed", "-1"), ("seed", str(2**53)), ("seed", "٣"),
    ],
)  # fmt: skip
def test_a_bad_parameter_is_named_with_its_value_and_what_was_expected(name, text):
    (error,) = errors_of(lambda: Experiment.from_strings([(name, text)]))
    assert error["field"] == name
    assert error["message"] == Experiment.expectation(name)
    assert error["value"] == text


def test_unknown_repeated_and_several_at_once():
    errors = errors_of(
        lambda: Experiment.from_strings(
            [("depht", "5"), ("width", "3"), ("width", "4"), ("depth", "x"), ("init", "he")]
        )
    )
    assert {e["field"] for e in errors} == {"depht", "width", "depth", "init"}
    assert "more than once" in next(e["message"] for e in errors if e["field"] == "width")
    assert "depth" in next(e["message"] for e in errors if e["field"] == "depht")


@pytest.mark.parametrize(
    "body",
    [
        {"depth": "5"}, {"depth": True}, {"depth": 5.5}, {"depth": 1e300}, {"depth": None},
        {"depth": [1]}, {"residual": 1}, {"residual": "true"}, {"activation": 3},
        {"init_scale": "1"}, {"init_scale": True}, {"init_scale": math.nan}, {"init_scale": -0.0},
        {"init_scale": math.inf}, {"seed": 10**400}, {"nonsense": 1}, {"": 1},
    ],
)  # fmt: skip
def test_json_takes_jsons_own_types_only(body):
    (error,) = errors_of(lambda: Experiment.from_json(body))
    assert error["field"] == next(iter(body))
    json.dumps(error, allow_nan=False)


@pytest.mark.parametrize("body", [[], "x", 3, None])
def test_json_wants_an_object(body):
    assert errors_of(lambda: Experiment.from_json(body))[0]["field"] == "body"


def test_half_a_surrogate_pair_is_refused():
    assert errors_of(lambda: Experiment.from_json({"activation": "\ud800"}))
    assert errors_of(lambda: Experiment.from_json({"\ud800": 1}))


def test_digits_have_64_features_and_1797_samples():
    assert Experiment(data="digits", inputs=64).n_inputs == 64
    assert Experiment(data="digits", width=30).n_inputs == 64
    assert (
        "64"
        in errors_of(lambda: Experiment.from_strings([("data", "digits"), ("inputs", "65")]))[0][
            "message"
        ]
    )
    assert (
        "1797"
        in errors_of(lambda: Experiment.from_strings([("data", "digits"), ("batch", "1798")]))[0][
            "message"
        ]
    )


@given(
    depth=st.integers(1, 1000), width=st.integers(1, 4096),
    inputs=st.none() | st.integers(1, 4096), init_scale=st.floats(0, 100).map(abs),
    residual=st.booleans(), seed=st.integers(0, 2**53 - 1),
)  # fmt: skip
def test_query_and_json_bring_back_the_same_experiment(**parameters):
    experiment = Experiment(**parameters)
    assert Experiment.from_strings(experiment.to_query().items()) == experiment
    assert Experiment.from_json(json.loads(json.dumps(experiment.to_dict()))) == experiment


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=50)), max_size=5))
def test_any_text_is_an_experiment_or_an_error(pairs):
    try:
        Experiment.from_strings(pairs)
    except InvalidParameters as error:
        json.dumps(error.errors, allow_nan=False).encode()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*Experiment.model_fields, "other"]), JSON_VALUES))
def test_any_json_is_an_experiment_or_an_error(body):
    try:
        Experiment.from_json(body)
    except InvalidParameters as error:
        json.dumps(error.errors, allow_nan=False).encode()


def test_every_parameter_has_a_label_help_and_control():
    for name, field in Experiment.model_fields.items():
        assert field.title and field.description, name
        assert field.annotation is not str or Experiment.options(name) or written(field)


def test_changed_it_must_still_go_together():
    digits = Experiment(data="digits", loss="cross_entropy")
    assert digits.changed({"depth": 3}) == Experiment(data="digits", loss="cross_entropy", depth=3)
    for update, field in (({"inputs": 8}, "inputs"), ({"batch": 5000}, "batch")):
        with pytest.raises(InvalidParameters) as refused:
            digits.changed(update)
        assert [e["field"] for e in refused.value.errors] == [field]


def test_data_without_classes_has_no_loss_over_classes():
    with DATASETS.temporarily():

        @dataset(formula="t = x", source="a test", help="A line: nothing to classify.")
        def line(batch, features, generator):
            x = torch.randn(batch, features, generator=generator)
            return Sample(x, x[:, :1])

        (error,) = errors_of(
            lambda: Experiment.from_strings([("data", "line"), ("loss", "cross_entropy")])
        )
        assert (error["field"], error["value"]) == ("loss", "cross_entropy")
        assert error["message"] == "expected one of: mse, mae, huber; line has no classes"
        experiment = Experiment(data="line", depth=2, width=4, batch=3)
        assert experiment.n_outputs == 1
        assert math.isfinite(record_all(Network(experiment))[1].value)
        assert "sample.number" in as_pytorch(experiment)


def test_a_whole_number_of_json_may_be_written_with_a_point():
    assert Experiment.from_json({"depth": 5.0, "inputs": 3.0}) == Experiment(depth=5, inputs=3)
    assert type(Experiment.from_json({"depth": 5.0}).depth) is int
