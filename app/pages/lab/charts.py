"""The frames of the Lab's four charts; their forms are in ``layerscope.app.figures.lab``."""

from __future__ import annotations

from dataclasses import dataclass

from layerscope.app.pages.lab.captions import ChartWords, Words

__all__ = ["FRAMES", "Frame", "Tabs"]


@dataclass(frozen=True, slots=True)
class Tabs:
    """A choice in a chart's header: (value, text) pairs."""

    name: str
    label: str
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """A chart's heading; ``name`` is that of its form and of its words."""

    name: str
    title: str
    note: str
    tabs: Tabs | None = None

    @property
    def unknown(self) -> ChartWords:
        """The words where there is no result."""
        return ChartWords(self.name, (), (Words("nothing was run"),))


SIDE = Tabs(
    "side", "Which side of the activation function", (("after", "after φ"), ("before", "before φ"))
)
TENSOR = Tabs(
    "tensor",
    "Which tensors",
    (("activations", "activations"), ("gradients", "gradients"), ("weights", "weights")),
)
FRAMES = (
    Frame("activations", "Activations", "std, |mean| thin, theory dashed", SIDE),
    Frame("gradients", "Gradients", "std of ∂L/∂y, ‖∂L/∂w‖ dotted", SIDE),
    Frame("magnitudes", "Magnitudes", "share per power of two", TENSOR),
    Frame("silent", "Silent units", "bars: zero for every sample; line: share of zeros"),
)
