"""A pinned uv is the one that is installed."""

import harmont as hm


@hm.pipeline("p")
def p():
    return hm.py.uv(version="0.5.1").test()
