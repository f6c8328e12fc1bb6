"""A folder that needs quotes gets them."""

import harmont as hm


@hm.pipeline("p")
def p():
    return hm.sh("ls", cwd="my folder", label="ls")
