"""The nest of loops that an equation stands for, as Python text."""

from __future__ import annotations

from layerscope.engine.foundations.einsum.shapes import Binding

__all__ = ["nested_loops"]


def nested_loops(binding: Binding) -> str:
    """One loop for each letter: the output's outside, the summed ones inside.

    >>> from layerscope.engine.foundations.einsum.grammar import parse_equation
    >>> from layerscope.engine.foundations.einsum.shapes import bind
    >>> print(nested_loops(bind(parse_equation("ik,kj->ij"), [(5, 784), (784, 10)])))
    result = torch.zeros(5, 10)
    for i in range(5):
        for j in range(10):
            total = 0
            for k in range(784):
                total += x0[i, k] * x1[k, j]
            result[i, j] = total
    """
    output, summed = binding.output, binding.summed
    sizes = ", ".join(map(str, binding.shape)) or "()"
    lines = [f"result = torch.zeros({sizes})"]
    lines += _heads(binding, output, 0)
    inner = len(output)
    target = f"result[{', '.join(output)}]" if output else "result"
    product = " * ".join(_factor(binding, i) for i in range(len(binding.shapes)))
    if summed:
        lines.append(f"{_indent(inner)}total = 0")
        lines += _heads(binding, summed, inner)
        lines.append(f"{_indent(inner + len(summed))}total += {product}")
        product = "total"
    lines.append(f"{_indent(inner)}{target} = {product}")
    return "\n".join(lines)


def _indent(depth: int) -> str:
    return "    " * depth


def _heads(binding: Binding, labels: tuple[str, ...], depth: int) -> list[str]:
    return [
        f"{_indent(depth + i)}for {label} in range({binding.sizes[label]}):"
        for i, label in enumerate(labels)
    ]


def _factor(binding: Binding, operand: int) -> str:
    # A stretched axis has one entry only, the same for every value of its letter.
    indices = [
        "0" if binding.stretched(operand, axis) else label
        for axis, label in enumerate(binding.axes[operand])
    ]
    return f"x{operand}[{', '.join(indices)}]" if indices else f"x{operand}"
