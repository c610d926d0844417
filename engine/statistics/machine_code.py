"""Where the kernels' machine code is kept, when the disk does not do what numba expects of it."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    InTreeCacheLocator,
    UserProvidedCacheLocator,
    UserWideCacheLocator,
)
from numba.core.registry import cpu_target

__all__ = ["Kept", "KernelCache", "kept"]

Kept = Literal["kept", "new", "nowhere"]
DAMAGED = (EOFError, pickle.UnpicklingError)
UNREADABLE = (OSError, *DAMAGED)


def _or_read(locator: type[Any]) -> type[Any]:
    """A locator that takes a folder with machine code in it also where that can't be written.

    Numba passes by such a folder, as a read-only image has, and compiles everything anew.
    """

    class Readable(locator):  # type: ignore[misc]
        def ensure_cache_path(self) -> None:
            try:
                super().ensure_cache_path()
            except OSError:
                if not any(Path(self.get_cache_path()).glob("*.nbi")):
                    raise

    return Readable


class _Implementation(CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = (
        *map(_or_read, (UserProvidedCacheLocator, InTreeCacheLocator)), UserWideCacheLocator
    )  # fmt: skip


class KernelCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function, without which everything works, only later.

    A disk that is full, has become read-only or holds damaged files costs the compilation anew; in
    numba it is an error of whoever calls the function first.

    Errors: ``RuntimeError`` where there is no folder to keep anything in.
    """

    _impl_class = _Implementation

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(signature, target_context)
        except OSError:
            return None
        except DAMAGED:
            with contextlib.suppress(OSError):
                self.flush()  # to be written anew
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        try:
            super().save_overload(signature, data)
        except UNREADABLE:
            self.disable()

    @property
    def filled(self) -> bool:
        """Whether it has machine code of this source for this processor."""
        here = cpu_target.target_context.codegen().magic_tuple()
        try:
            return any(key[1] == here for key in self._cache_file._load_index())
        except UNREADABLE:
            return False


def kept(kernels: Sequence[Any]) -> tuple[Kept, str]:
    """Whether ``kernels`` need no compiler, and in which folder their machine code is kept.

    ``new`` where it will be kept once compiled, ``nowhere`` where every process compiles anew.
    """
    caches = [getattr(kernel, "_cache", None) for kernel in kernels]
    own = [cache for cache in caches if isinstance(cache, KernelCache)]
    if len(own) < len(caches) or not own:
        return "nowhere", ""
    return "kept" if all(cache.filled for cache in own) else "new", str(own[0].cache_path)
