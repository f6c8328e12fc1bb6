"""The pipeline of this repository: `hm run` runs it, `hm graph` draws it."""

import harmont as hm


@hm.pipeline("ci", triggers=[hm.push(branch="main"), hm.pull_request()])
def ci():
    # Dependencies, pytest and ruff among them, come from pyproject.toml and uv.lock by `uv sync`.
    python = hm.python(path=".")
    return [python.test(), python.lint(), python.fmt()]
