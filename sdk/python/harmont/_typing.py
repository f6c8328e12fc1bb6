"""Markers in annotations of targets and pipelines."""

from __future__ import annotations

from harmont._record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any, TypeVar

    _T = TypeVar("_T")


@record()
class TargetRef:
    """`Target[T]` as it is seen at run time: the value of the target named like the parameter."""

    type: Any

    def __or__(self, _other: object) -> TargetRef:
        return self

    __ror__ = __or__


@record()
class BaseImageMarker:
    """A parameter that is the empty start of a chain on `image`."""

    image: str


if TYPE_CHECKING:
    Target = Annotated[_T, "the target named like the parameter"]
else:

    class Target:
        """Marks a parameter as the value of the target with its name: `def test(build: hm.Target[hm.Step])`."""

        def __class_getitem__(cls, item):
            return TargetRef(item)


def BaseImage(image: str) -> BaseImageMarker:
    """Marks a parameter as a fresh machine on `image`: `def test(start: Annotated[hm.Step, hm.BaseImage("debian:12")])`."""
    if not isinstance(image, str) or not image:
        raise ValueError(f"hm.BaseImage: the image must be a non-empty str, got {image!r}")
    return BaseImageMarker(image)


def marker_of(annotation: object) -> TargetRef | BaseImageMarker | None:
    """The marker that an annotation is or carries."""
    if isinstance(annotation, (TargetRef, BaseImageMarker)):
        return annotation
    for extra in getattr(annotation, "__metadata__", ()):
        if isinstance(extra, (TargetRef, BaseImageMarker)):
            return extra
    return None
