"""The pipeline of this repository: `hm run` runs it, `hm graph` draws it."""

import harmont as hm


@hm.pipeline("ci", triggers=[hm.push(branch="main"), hm.pull_request()])
def ci():
    elixir = hm.elixir(path=".")
    return [elixir.compile(), elixir.test(), elixir.format()]
