"""The pipeline of this repository: `hm run` runs it, `hm graph` draws it.

Steps run on this machine's own programs. For a clean machine replace "host" with an image such as "debian:12".
"""

import harmont as hm


@hm.pipeline("ci", default_image="host", triggers=[hm.push(branch="main"), hm.pull_request()])
def ci():
    build = hm.sh("echo build something here > result.txt", label="build")
    return build.sh("grep -q something result.txt", label="test")
