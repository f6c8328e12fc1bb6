"""Immutable records that behave like frozen dataclasses without importing `dataclasses` at start.

Importing `dataclasses` costs as much as starting Python itself. What the module would add (fields, parameters, a
signature) is made when somebody asks for it, so `dataclasses.fields` and `dataclasses.replace` work.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar, dataclass_transform

    _T = TypeVar("_T")
else:

    def dataclass_transform(**_options: object) -> Callable[[_T], _T]:
        return lambda decorated: decorated


@dataclass_transform(frozen_default=True)
def record(*, eq: bool = True) -> Callable[[type[_T]], type[_T]]:
    """Makes the annotated names of a class its fields; `eq=False` keeps identity as equality.

    A `__post_init__` is called as dataclasses call it.
    """

    def decorate(cls: type[_T]) -> type[_T]:
        names = tuple(cls.__annotations__)
        own: Any = cls
        defaults = {name: cls.__dict__[name] for name in names if name in cls.__dict__}
        own.__match_args__ = names
        own.__init__ = _initializer(cls.__name__, names, defaults, getattr(cls, "__post_init__", None))
        own.__setattr__ = _refuse_set
        own.__delattr__ = _refuse_delete
        if "__repr__" not in cls.__dict__:
            own.__repr__ = _represent
        if eq:
            own.__eq__ = _equal
            own.__hash__ = _hash
        for attribute in ("__dataclass_fields__", "__dataclass_params__", "__signature__"):
            setattr(own, attribute, _FromDataclass(attribute, cls, names, defaults, eq))
        return cls

    return decorate


def _initializer(
    owner: str, names: tuple[str, ...], defaults: dict[str, Any], then: Callable[[Any], None] | None
) -> Callable[..., None]:
    required = frozenset(name for name in names if name not in defaults)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if len(args) > len(names):
            raise TypeError(f"{owner}() takes {len(names)} arguments but {len(args)} were given")
        given = dict(zip(names, args, strict=False))
        for name in kwargs:
            if name in given:
                raise TypeError(f"{owner}() got multiple values for argument {name!r}")
            if name not in names:
                raise TypeError(f"{owner}() got an unexpected keyword argument {name!r}")
        given.update(kwargs)
        for name in names:
            if name in required and name not in given:
                raise TypeError(f"{owner}() is missing the argument {name!r}")
        fields = self.__dict__
        fields.update(defaults)
        fields.update(given)
        if then is not None:
            then(self)

    return __init__


def _refuse_set(self: object, name: str, _value: object) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r} of {type(self).__name__}")


def _refuse_delete(self: object, name: str) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot delete field {name!r} of {type(self).__name__}")


def _represent(self: Any) -> str:
    inner = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{type(self).__name__}({inner})"


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name in self.__match_args__)


def _equal(self: Any, other: object) -> bool:
    if type(other) is not type(self):
        return NotImplemented
    return _values(self) == _values(other)


def _hash(self: Any) -> int:
    return hash((self.__class__.__name__, _values(self)))


class _FromDataclass:
    """Stands for an attribute that `dataclasses` would have set, and makes it on first use."""

    def __init__(self, attribute: str, cls: type, names: tuple[str, ...], defaults: dict[str, Any], eq: bool) -> None:
        self._attribute = attribute
        self._cls = cls
        self._names = names
        self._defaults = defaults
        self._eq = eq

    def __get__(self, _instance: object, _owner: type | None = None) -> Any:
        import dataclasses
        import inspect

        annotations = self._cls.__annotations__
        fields: list[Any] = []
        for name in self._names:
            if name in self._defaults:
                fields.append((name, annotations[name], dataclasses.field(default=self._defaults[name])))
            else:
                fields.append((name, annotations[name]))
        twin = dataclasses.make_dataclass(self._cls.__name__, fields, frozen=True, eq=self._eq)
        if self._attribute == "__signature__":
            return inspect.signature(twin)
        return getattr(twin, self._attribute)
