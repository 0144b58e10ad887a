"""Lazy, named, loud: a table of implementations that are imported only when one is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from livematte.errors import DeviceError, LivematteError, UsageError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backend:
    """Where an implementation lives and which extra installs what it needs."""

    module: str
    """Dotted name of the module, imported on first use."""
    attribute: str
    """Name of the class or function inside it."""
    extra: str | None = None
    """`pip install 'livematte[EXTRA]'` brings its dependencies; None: always there."""


class Registry(Generic[T]):
    """Implementations by name. The names are fixed at import; the code behind them is loaded on use.

    A name that is not in the table raises `UsageError` with the valid ones; a dependency that is not
    installed raises `unavailable` with the command that installs it. Nothing is ever replaced by something else.
    """

    def __init__(
        self, kind: str, table: Mapping[str, Backend], unavailable: type[LivematteError] = DeviceError
    ) -> None:
        self._kind = kind
        self._table = dict(table)
        self._unavailable = unavailable

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def add(self, name: str, backend: Backend) -> None:
        """Add an implementation of the user's own. A name can be taken once."""
        if name in self._table:
            raise UsageError(f"there is already a {self._kind} called '{name}'; choose another name.")
        self._table[name] = backend

    def load(self, name: str) -> T:
        """The implementation called `name`, imported now if it was not before."""
        backend = self._table.get(name)
        if backend is None:
            raise UsageError(f"unknown {self._kind} '{name}'. There are: {', '.join(sorted(self._table))}.")
        try:
            found: Any = getattr(importlib.import_module(backend.module), backend.attribute)
        except ImportError as error:
            hint = f"Install it with: pip install 'livematte[{backend.extra}]'." if backend.extra else ""
            raise self._unavailable(f"the {self._kind} '{name}' cannot be loaded: {error}. {hint}".strip()) from error
        return found  # type: ignore[no-any-return]
