"""A target that uses another of the same function name is no circle."""

from collections.abc import Callable

import harmont as hm


def layer(name: str, inner: Callable[[], hm.Step] | None) -> Callable[[], hm.Step]:
    def make() -> hm.Step:
        return hm.sh("base") if inner is None else inner().sh(name)

    return hm.target(name=name)(make)


lower = layer("lower", None)
upper = layer("upper", lower)


@hm.pipeline("p")
def p(upper: hm.Target[hm.Step]):
    return upper
