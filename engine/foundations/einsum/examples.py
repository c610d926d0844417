"""The notes' own examples of einsum, in their order, and their rules beside what torch does."""

from __future__ import annotations

from dataclasses import dataclass

from layerscope.engine.foundations.record import Record

__all__ = ["EXAMPLES", "NOTES_RULES", "Example", "NotesRule"]


@dataclass(frozen=True, slots=True)
class Example(Record):
    """One equation with the shapes that the notes use."""

    name: str
    title: str
    equation: str
    shapes: tuple[tuple[int, ...], ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class NotesRule(Record):
    """One rule as the notes have it, and what torch makes of it."""

    rule: str
    torch: str


EXAMPLES: tuple[Example, ...] = (
    Example(
        "matmul",
        "Matrix product",
        "ik,kj->ij",
        ((5, 784), (784, 10)),
        "k is in both operands and not in the output, so it is summed: a row meets a column.",
    ),
    Example(
        "implicit",
        "Matrix product, output implied",
        "ik,kj",
        ((5, 784), (784, 10)),
        "Without an arrow, what is repeated is summed and the rest is kept, in alphabetical order.",
    ),
    Example(
        "transpose",
        "Transpose",
        "ij->ji",
        ((2, 2),),
        "Nothing is multiplied or summed: the output only names the axes in another order.",
    ),
    Example(
        "b-reduction",
        "One number for each b",
        "bi,ij,bj->b",
        ((2, 2), (2, 2), (2, 2)),
        "For each b a quadratic form: Σ x[b, i] · y[i, j] · z[b, j] over i and j.",
    ),
    Example(
        "trace",
        "Trace",
        "ii",
        ((2, 2),),
        "i repeated within one term walks the diagonal; not in the output, it is summed.",
    ),
    Example(
        "diagonal",
        "Diagonal",
        "ii->i",
        ((2, 2),),
        "The same walk along the diagonal, but the output keeps i.",
    ),
    Example(
        "outer",
        "Outer product",
        "i,j->ij",
        ((3,), (2,)),
        "No letter is shared and none is summed: every number meets every other.",
    ),
    Example(
        "batch-matmul",
        "Batch matrix product",
        "bij,bjk->bik",
        ((3, 2, 5), (3, 5, 4)),
        "b is in both operands and in the output: one matrix product for each b.",
    ),
    Example(
        "sublist",
        "Sublist form with an ellipsis",
        "[..., 0, 1], [..., 1, 2], [..., 0, 2]",
        ((3, 2, 5), (3, 5, 4)),
        "The same batch product with numbers for letters; the ellipsis covers the batch.",
    ),
    Example(
        "batch-permute",
        "Batch permute",
        "...ij->...ji",
        ((2, 3, 4, 5),),
        "The ellipsis stands for all other axes: the last two are swapped whatever comes before.",
    ),
    Example(
        "bilinear",
        "Bilinear layer",
        "bn,anm,bm->ba",
        ((2, 5), (3, 5, 4), (2, 4)),
        "As torch.nn.functional.bilinear: for each a, a matrix between two vectors, for each b.",
    ),
)
"""The notes write the matrix product both ways, as a rule and as code; so these are eleven."""


NOTES_RULES: tuple[NotesRule, ...] = (
    NotesRule(
        "Repeated indices are implicitly summed over.",
        "True without an arrow. With one, the output decides: what it does not name is summed.",
    ),
    NotesRule(
        "Each index can appear at most twice in any term.",
        "torch takes it any number of times: 'iii->i' is the diagonal of a cube.",
    ),
    NotesRule(
        "Each term must contain identical non-repeated indices.",
        "True of terms that are added; an einsum is one product, whose factors may differ. "
        "Every output index must come from some factor.",
    ),
)
