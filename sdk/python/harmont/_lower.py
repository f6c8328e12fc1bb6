"""From leaves to the IR document."""

from __future__ import annotations

from harmont._duration import seconds
from harmont._keys import assign_keys
from harmont._options import environment
from harmont._step import Step, place_of
from harmont.cache import lower as lower_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from harmont._duration import Duration
    from harmont._places import Place

_DEFAULT_IMAGE = "ubuntu:24.04"
# The edges that waits may make: a document with as many has 27 MB.
_MOST_EDGES = 1_000_000
_BASE_ENV = {"DEBIAN_FRONTEND": "noninteractive", "TERM": "dumb"}


def lower(
    leaves: object,
    *,
    env: Mapping[str, str] | None = None,
    timeout: Duration | None = None,
    default_image: str | None = None,
    places: list[Place | None] | None = None,
) -> dict[str, Any]:
    """The IR document of the graph that ends in `leaves`; where each of its steps was written goes to `places`."""
    graph = _Graph({**_BASE_ENV, **environment(env or {})}, default_image)
    for leaf in flatten(leaves):
        graph.add_leaf(leaf)
    if not graph.nodes:
        raise ValueError(
            "hm: a pipeline needs at least one step\n  fix: return the last step of each branch, for example [test, lint]"
        )
    graph.finish()
    if places is not None:
        places.extend(graph.places)
    document: dict[str, Any] = {"version": "0"}
    if default_image is not None:
        document["default_image"] = default_image
    if timeout is not None:
        document["timeout_seconds"] = seconds(timeout)
    document["graph"] = {"nodes": graph.nodes, "node_holes": [], "edge_property": "directed", "edges": graph.edges}
    return document


def flatten(value: Any) -> Iterator[Step]:
    """The steps in nested lists, tuples and toolchain objects, in order."""
    pending: list[Any] = [value]
    # What holds the item that is looked at, by identity.
    holders: set[int] = set()
    while pending:
        item = pending.pop()
        kind: type[Any] = item.__class__
        if isinstance(item, Step):
            yield item
        elif kind is _End:
            holders.discard(id(item.of))
        elif issubclass(kind, (list, tuple)) or hasattr(item, "default_actions"):
            if id(item) in holders:
                raise ValueError(f"hm: {kind.__name__} holds itself\n  fix: leave it out of what it holds")
            holders.add(id(item))
            pending.append(_End(item))
            if issubclass(kind, (list, tuple)):
                pending.extend(reversed(item))
            else:
                pending.append(item.default_actions())
        else:
            if kind.__name__ == "coroutine":
                item.close()  # or Python would warn of it as well
            hint = "a step, or a list or tuple of steps"
            if issubclass(kind, dict):
                hint += "; a decorated function returns the steps, not what hm.pipeline([...]) makes of them"
            raise TypeError(f"hm: {kind.__name__} is no step of a pipeline\n  fix: return {hint}")


class _End:
    """Stands behind the items of what holds them, and keeps it, since a new object could have the identity of an old one."""

    def __init__(self, of: Any) -> None:
        self.of = of


class _Graph:
    """The nodes and edges met so far."""

    def __init__(self, env: dict[str, str], default_image: str | None) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.edges: list[list[Any]] = []
        self.places: list[Place | None] = []
        self._env = env
        self._default_image = default_image
        self._steps: list[Step] = []
        self._parents: list[int | None] = []
        # Node of the nearest command at or above each step met, by the step's identity.
        self._node_of: dict[int, int | None] = {}
        self._segment: list[int] = []
        self._barrier: list[int] = []
        # Edges that waits made so far.
        self._waits = 0
        self._continue = False

    def add_leaf(self, leaf: Step) -> None:
        """Adds the leaf with those of its ancestors that are not there yet, parents first."""
        if leaf.is_wait:
            self._add_wait(leaf)
            return
        fresh: list[Step] = []
        step: Step | None = leaf
        while step is not None and _identity(step) not in self._node_of:
            fresh.append(step)
            step = step.parent
        if step is not None:
            self._limit(step)
        above = None if step is None else self._node_of[_identity(step)]
        for step in reversed(fresh):
            if step.cmd is not None:
                above = self._add_node(step, above)
            self._node_of[_identity(step)] = above

    def _add_wait(self, wait: Step) -> None:
        if self._segment:
            self._barrier = self._segment
            self._segment = []
            self._continue = wait.continue_on_failure
        elif self._barrier and wait.continue_on_failure:
            self._continue = True

    def _limit(self, step: Step) -> None:
        """Applies the budget of a copy whose node is already there; the tightest budget holds."""
        node = self._node_of[_identity(step)]
        if step.copy_of is None or step.cmd is None or node is None:
            return
        written = self.nodes[node]["step"]
        known = written["timeout_seconds"]
        written["timeout_seconds"] = step.timeout_seconds if known is None else min(known, step.timeout_seconds)

    def _add_node(self, step: Step, parent: int | None) -> int:
        node = len(self.nodes)
        written = {
            "key": "",
            "cmd": step.cmd,
            "label": step.label,
            "cache": None if step.cache is None else lower_cache(step.cache),
            "timeout_seconds": step.timeout_seconds,
            "image": step.image,
            "runner": step.runner,
            "runner_args": step.runner_args,
        }
        if step.image is None and parent is None and self._default_image is None:
            written["image"] = _DEFAULT_IMAGE
        if self._continue or step.continue_on_failure:
            written["continue_on_failure"] = True
        if step.allow_failure:
            written["allow_failure"] = True
        for name in ("retry", "outputs", "secrets", "services", "resources", "network", "mounts"):
            value: Any = getattr(step, name)
            if value:
                written[name] = value if isinstance(value, (dict, str)) else list(value)
        env = {**self._env, **step.env} if step.env else self._env
        self.nodes.append({"step": written, "env": env})
        self.places.append(place_of(step))
        if parent is not None:
            self.edges.append([parent, node, "builds_in"])
        self._wait_for_barrier(node)
        self._segment.append(node)
        self._steps.append(step)
        direct = step.parent is not None and step.parent.cmd is not None
        self._parents.append(parent if direct else None)
        return node

    def _wait_for_barrier(self, node: int) -> None:
        """One edge from each step before the last wait."""
        self._waits += len(self._barrier)
        if self._waits > _MOST_EDGES:
            raise ValueError(
                f"hm: a wait() has each step after it wait for each of the {len(self._barrier)} before it, "
                f"and that makes more than {_MOST_EDGES} edges\n"
                '  fix: put one step between two waits: [*before, hm.wait(), hm.sh("true", label="gate"), hm.wait(), *after]'
            )
        self.edges.extend([before, node, "depends_on"] for before in self._barrier)

    def finish(self) -> None:
        """Gives every node its key and drops the members that say nothing."""
        keys = assign_keys(self._steps, self._parents)
        for node, key in zip(self.nodes, keys, strict=True):
            written = node["step"]
            written["key"] = key
            node["step"] = {name: value for name, value in written.items() if value is not None}


def _identity(step: Step) -> int:
    return id(step if step.copy_of is None else step.copy_of)
