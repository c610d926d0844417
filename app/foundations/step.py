"""A step of the tour: a form, the engine's answer to it, and what its page draws of the answer; it
makes the page, its JSON twin, its entry in OpenAPI and its place in the navigation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from layerscope.app.forms import Form
from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.basis.refusals import FieldError, InvalidParameters, field_error
from layerscope.engine.basis.specification import Specification

__all__ = ["Explained", "Step", "gathered"]

R = TypeVar("R")
C = TypeVar("C")


def _nothing(_: Form[Any], __: Any) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Step:
    """``answer(specification, should_stop)`` returns what the JSON twin sends: a dict, or what has
    ``to_dict``. It may raise ``ValueError``, of the whole form, or `FieldError`."""

    name: str
    """The last part of its addresses, ``/foundations/<name>`` and ``/api/v1/foundations/<name>``;
    also its template's and its sketch's name."""
    title: str
    lead: str
    """What one sees there, in one sentence."""
    form: type[Specification]
    """What is asked."""
    answer: Callable[[Any, ShouldStop], Any]
    picture: Callable[[Form[Any], Any], Any] = _nothing
    """Makes of a form and its answer what the template draws."""
    refused: Callable[[Form[Any], Any], Any] = _nothing
    """Makes of a refused form and the error what the template draws instead."""
    alone: bool = False
    """Whether the answer measures time, and therefore must be computed alone."""
    summary: str
    """What the twin is called in OpenAPI."""
    help: str
    example: Mapping[str, Any] = field(default_factory=dict)
    """The beginning of an answer, for the API's documentation."""

    @property
    def route(self) -> str:
        """Its page's name for ``url_for``."""
        return f"foundations_{self.name.replace('/', '_')}"

    @property
    def twin(self) -> str:
        """Its JSON route's."""
        return f"{self.route}_json"

    def ask(self, form: Form[Any], should_stop: ShouldStop = never) -> Any:
        """The answer to a form.

        Errors: `InvalidParameters` with everything that is wrong with it; ``Stopped``.
        """
        try:
            return self.answer(form.valid(), should_stop)
        except InvalidParameters:
            raise
        except FieldError as error:
            typed = form.typed.get(error.field)
            raise InvalidParameters([field_error(error.field, error.message, typed)]) from error
        except ValueError as error:
            raise InvalidParameters([field_error("query", str(error))]) from error


@dataclass(frozen=True, slots=True)
class Explained(Generic[R, C]):
    """An engine's record, and the cell of its result that is looked at."""

    done: R
    cell: C | None
    """None where the result has no cells."""

    def to_dict(self) -> dict[str, Any]:
        done: Any = self.done
        return {**done.to_dict(), "cell": self.cell}


def gathered(events: Iterable[Any], key: str, between: str) -> dict[str, Any]:
    """A stream as one answer: the fields of its first and last event, those ``between`` in a list.

    >>> from layerscope.engine.foundations.matmul.race import race
    >>> [r.variant for r in gathered(race(2, 2, 2), "results", "race_result")["results"]][:2]
    ['loops', 'elementwise']
    """
    first, *rest, last = events
    return {**first.to_dict(), key: [e for e in rest if e.event == between], **last.to_dict()}
