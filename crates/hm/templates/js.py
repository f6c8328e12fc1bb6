"""The pipeline of this repository: `hm run` runs it, `hm graph` draws it."""

import harmont as hm


@hm.pipeline("ci", triggers=[hm.push(branch="main"), hm.pull_request()])
def ci():
    # Runtime and package manager come from package.json and the lock file.
    app = hm.js.project()
    return [app.install(), *[app.run(script) for script in ["lint", "test", "build"]]]
