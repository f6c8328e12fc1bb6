"""Python and JavaScript projects."""

import harmont as hm


@hm.pipeline("python")
def python():
    project = hm.python(path="api")
    return [project.test(), project.lint(), project.fmt(), project.typecheck(paths=["src", "tests"])]


@hm.pipeline("uv")
def uv():
    return hm.py.uv(path="tool", image="debian:12")


@hm.pipeline("uv-all")
def uv_all():
    project = hm.py.uv()
    return [project.run("python -m tool"), project.build(), project.lock_check(), project.publish(label="ship")]


@hm.pipeline("js")
def js():
    return hm.js.project(path="web", pm="npm", runtime="node")


@hm.pipeline("js-all")
def js_all():
    return [
        hm.js.project(path="a", pm="pnpm", version="20").run("build"),
        hm.js.project(path="b", pm="yarn-classic").run("test:unit"),
        hm.js.project(path="c", pm="yarn-berry").run("test"),
        hm.ts.project(path="d", pm="bun").run("lint"),
        hm.js.project(path="e", runtime="bun", version="1.1.0").run("x"),
        hm.js.project(path="f", runtime="deno").run("y"),
    ]
