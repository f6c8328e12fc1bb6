"""The pipeline of this repository: `hm run` runs it, `hm graph` draws it."""

import harmont as hm


@hm.pipeline("ci", triggers=[hm.push(branch="main"), hm.pull_request()])
def ci():
    # Dependencies are compiled once for each Cargo.lock, which has to be there.
    project = hm.rust.project(version="stable")
    return [project.test(), project.clippy(), project.fmt()]
