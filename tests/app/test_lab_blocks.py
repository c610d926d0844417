"""Which layers stand for a block in the Lab, in either order of its layers."""

from __future__ import annotations

import pytest

from layerscope.app.pages.lab.blocks import blocks
from layerscope.engine.execution.network import layout
from layerscope.engine.experiment.specification import Experiment

VARIANTS = [
    {},
    {"residual": True},
    {"norm": "layer", "residual": True},
    {"activation": "linear"},
    {"activation": "linear", "norm": "rms", "residual": True},
]


@pytest.mark.parametrize("order", ["linear_first", "linear_last"])
@pytest.mark.parametrize("change", VARIANTS, ids=str)
def test_the_lab_shows_what_goes_into_the_activation_and_what_leaves_the_block(change, order):
    infos = layout(Experiment(depth=3, block_order=order, **change))
    for place, block in enumerate(blocks(infos), 1):
        own = [i for i in infos if i.block == place]
        assert infos[block.linear].role == "linear_map"
        assert block.after == own[-1].index
        phi = next((i for i in own if i.role == "activation"), None)
        if phi is not None:
            assert block.silent == (phi.index if order == "linear_last" else block.after)
            assert block.before == max(0, phi.index - 1)
        else:
            assert block.silent == block.after
            assert block.before in (block.after, block.after - 1)
