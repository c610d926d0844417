"""Root causes, and under each what follows from it: the one way for a pass, a training and a look
before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from layerscope.engine.diagnosis.finding import SEVERITIES, Finding

__all__ = ["Explains", "every", "rooted"]

Explains = Callable[[Finding, Finding], bool]
"""Whether the second finding follows from the first, without another between them."""


def rooted(found: Sequence[Finding], explains: Explains) -> list[Finding]:
    """The findings that follow from no other, worst first, each with those that do under it.

    Args:
        found: causes before consequences as far as that is known, none with consequences yet: of
            two that explain each other the first is the cause.
        explains: asked of any two of them.

    A root is as severe as the worst that follows from it.
    """
    follows: list[list[int]] = [[] for _ in found]
    caused: set[int] = set()
    for i, cause in enumerate(found):
        for j, effect in enumerate(found):
            if i == j or not explains(cause, effect):
                continue
            if j > i or not explains(effect, cause):
                follows[i].append(j)
                caused.add(j)
    roots: list[Finding] = []
    placed: set[int] = set()
    # Where causes go round in a circle the first of them is where it begins.
    for i in [*(i for i in range(len(found)) if i not in caused), *sorted(caused)]:
        if i in placed:
            continue
        placed.add(i)
        below, ahead = [], [i]
        while ahead:
            near = [j for j in follows[ahead.pop(0)] if j not in placed]
            placed.update(near)
            below += near
            ahead += near
        roots.append(_under(found[i], [found[j] for j in below]))
    return sorted(roots, key=lambda f: -SEVERITIES.index(f.severity))


def _under(root: Finding, consequences: list[Finding]) -> Finding:
    together = [root, *consequences]
    worst = max((f.severity for f in together), key=SEVERITIES.index)
    return replace(root, consequences=consequences, severity=worst)


def every(found: Sequence[Finding]) -> list[Finding]:
    """Roots and consequences in one list."""
    return [f for root in found for f in (root, *root.consequences)]
