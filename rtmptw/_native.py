"""
Class attributes for mypyc. Without mypyc, they have no effect.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:
    _Class = TypeVar("_Class")

    def mypyc_attr(**attributes: Any) -> Callable[[_Class], _Class]:
        """
        @return: a decorator that returns the class unchanged.
        """
        return _same

    def _same(subject: _Class) -> _Class:
        return subject


__all__ = ["mypyc_attr"]
