"""The underscores of a function's name become dashes."""

import harmont as hm


@hm.pipeline()
def build_and_test():
    return hm.sh("a")
