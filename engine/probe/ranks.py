"""One training as several ranks have recorded it, each into a run of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, Self

from msgspec.structs import replace

from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.distributed import name_of_rank
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.series import recorded
from layerscope.engine.probe.step import ModuleStep, Quantity, Slot, Step
from layerscope.engine.probe.writing import TOGETHER
from layerscope.engine.statistics import Statistics

if TYPE_CHECKING:
    from layerscope.engine.store import Run, Store

__all__ = ["Ranks", "runs_beside"]

MOST_RANKS = 1024  # a run's settings are anybody's text


class Ranks:
    """The steps that all ranks recorded: one by one, merged, and held against each other.

    Args:
        facts: of the modules, the same in every rank.
        steps: by rank, as ``Probe.steps`` gives them.

    Errors: ``ValueError`` for fewer than two ranks, or for such as have no step in common.
    """

    def __init__(self, facts: Sequence[ModuleFacts], steps: Sequence[Iterable[Step]]) -> None:
        if len(steps) < 2:
            raise ValueError(f"ranks: expected the steps of two or more, got {len(steps)}")
        self.facts = list(facts)
        self._ranks = [{step.number: step for step in own} for own in steps]
        common = set.intersection(*(set(own) for own in self._ranks))
        self.numbers = sorted(common)
        """Of the steps that every rank has recorded."""
        if not common:
            raise ValueError(
                "ranks: expected steps that all have recorded, got none; give `watch` the same "
                "`every` in each"
            )

    @classmethod
    def of_runs(cls, runs: Sequence[str], to: Any = None) -> Self:
        """From the store ``to``, by the runs' ids, rank 0 first; an id's beginning or a name will
        do. Errors: ``ValueError`` for none or several of that name, or other modules."""
        from layerscope.engine.store import open_store

        store = open_store(to)
        try:
            return cls.stored([_only(store.find(words), words) for words in runs], store)
        finally:
            store.close()

    @classmethod
    def stored(cls, runs: Sequence[str], store: Store) -> Self:
        """From a store that is open, by the runs' whole ids. Errors: as `of_runs`."""
        facts = [store.facts(run, ModuleFacts) for run in runs]
        names = [[each.name for each in own] for own in facts]
        if any(own != names[0] for own in names):
            raise ValueError("ranks: expected runs of the same modules in the same order")
        steps = [
            [step for stored in store.steps(run) if (step := recorded(stored)) is not None]
            for run in runs
        ]
        return cls(facts[0] if facts else [], steps)

    def of(self, number: int) -> list[Step]:
        """One step, a rank each."""
        return [own[number] for own in self._ranks]

    def merged(self, number: int) -> Step:
        """One step of all ranks together: the statistics of a module's output, of its gradient and
        of the input are those of all ranks' entries (a gradient is that of its rank's own loss);
        of parameters, which are the same in each, rank 0's. The loss is the ranks' mean. What is
        known of single units is left out: no rank's units can be told to be another's.

        Errors: ``KeyError`` for a step that not all have recorded.
        """
        steps = self.of(number)
        first = steps[0]
        losses = [step.loss for step in steps if step.loss is not None]
        slots = list(dict.fromkeys(_key(slot) for step in steps for slot in step.slots))
        calls = {m.index: m for step in reversed(steps) for m in step.modules}
        return replace(
            first,
            loss=sum(losses) / len(losses) if losses else None,
            slots=[Slot(*slot) for slot in slots],
            statistics=[_together(steps, slot) for slot in slots],
            modules=[_called(module, steps) for _, module in sorted(calls.items())],
            skipped=all(step.skipped for step in steps),
            origin=next((step.origin for step in steps if step.origin is not None), None),
            stale=max(step.stale for step in steps),
            baseline=None, task=None,
        )  # fmt: skip

    def findings(self) -> list[Finding]:
        """Whether ranks have come apart: their parameters, which are equal under
        DistributedDataParallel, differ in what is known of them, bit for bit."""
        apart = self._since(Quantity.VALUE)
        if not apart:
            return []
        since = min(apart.values())
        gradients = self._since(Quantity.PARAMETER_GRADIENT)
        averaged = not gradients
        where = [f for f in self.facts if any(index == f.index for index, _ in apart)]
        known = {
            f"{f.name}.{name}".lstrip("."): apart[f.index, place]
            for f in where
            for place, name in enumerate(f.parameters)
            if (f.index, place) in apart
        }
        names, first = list(known), next(name for name, step in known.items() if step == since)
        differ = "1 parameter differs" if len(names) == 1 else f"{len(names)} parameters differ"
        why = (
            "The ranks' gradients are the same: something else changes the parameters, or they "
            "began apart."
            if averaged
            else f"Since step {min(gradients.values())} their gradients differ too: they are not "
            "averaged over the ranks, as where the module is called instead of its wrapper, or "
            "`no_sync` is left on."
        )
        return [
            Finding(
                rule="ranks_apart", severity="error",
                title=f"{differ} between {len(self._ranks)} ranks",
                explanation=f"In step {since} {first} is not the same in all ranks. {why}",
                direction="both" if averaged else "backward",
                modules=tuple(f.name for f in where),
                layers=(min(f.index for f in where), max(f.index for f in where)), blocks=(0, 0),
                evidence={"parameters": names, "ranks": len(self._ranks),
                          "gradients_differ_since": min(gradients.values(), default=None)},
                threshold={"differing_parameters": 0}, since=since,
                fix={"code": "model = DistributedDataParallel(model)\nloss = loss_fn(model(x), y)"},
            )
        ]  # fmt: skip

    def _since(self, quantity: Quantity) -> dict[tuple[int, int], int]:
        """By module and parameter: since which step it differs between ranks."""
        since: dict[tuple[int, int], int] = {}
        for number in self.numbers:
            first, *others = self.of(number)
            for (module, what, place), own in first.by_slot.items():
                if what == quantity and any(
                    other.of(module, quantity, place) != own for other in others
                ):
                    since.setdefault((module, place), number)
        return since


def runs_beside(run: Run, store: Store) -> list[Run]:
    """The runs of all ranks of a training, ``run`` among them, rank 0 first: those that its name
    and its settings tell of, begun nearest to it. Empty for a run that has no ranks beside it, or
    where the store does not hold every one of them."""
    own, ranks = run.config.get("rank"), run.config.get("ranks")
    if not isinstance(own, int) or not isinstance(ranks, int) or not 2 <= ranks <= MOST_RANKS:
        return []
    if not run.name.endswith(name_of_rank("", own, ranks)):
        return []  # renamed by hand
    name = run.name.removesuffix(name_of_rank("", own, ranks)).removesuffix(", ")
    found = []
    for rank in range(ranks):
        wanted = name_of_rank(name, rank, ranks)
        same = [each for each in store.find(wanted) if each.name == wanted]
        if rank != own and not same:
            return []
        nearest = min(same, key=lambda each: abs(each.created - run.created), default=run)
        found.append(run if rank == own else nearest)
    return found


_Slot = tuple[int, Quantity, int]


def _key(slot: Slot) -> _Slot:
    return slot.module, slot.quantity, slot.parameter


def _together(steps: Sequence[Step], slot: _Slot) -> Statistics:
    found = [s for step in steps if (s := step.of(*slot)) is not None]
    merge: Callable[[Statistics, Statistics], Statistics] = Statistics.merge
    return reduce(merge, found) if slot[1] in TOGETHER else found[0]


def _called(module: ModuleStep, steps: Sequence[Step]) -> ModuleStep:
    own = [step.said[module.index] for step in steps if module.index in step.said]
    return replace(module, calls=sum(each.calls for each in own), running=None, look=None)


def _only(found: Sequence[Any], words: str) -> str:
    if len(found) != 1:
        raise ValueError(f"ranks: expected one run by {words!r}, got {len(found)}")
    return str(found[0].id)
