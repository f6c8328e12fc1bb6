"""Every cache policy of the public package."""

from datetime import timedelta

import harmont as hm


@hm.pipeline("caches")
def caches():
    return [
        hm.sh("a", cache=hm.forever()),
        hm.sh("b", cache=hm.forever(env_keys=("CC", "CFLAGS"))),
        hm.sh("c", cache=hm.ttl(timedelta(days=1, seconds=1))),
        hm.sh("d", cache=hm.on_change("Cargo.lock", "**/*.rs")),
        hm.sh("e", cache=hm.compose(hm.forever(), hm.compose(hm.ttl(timedelta(hours=2)), hm.on_change("x")))),
        hm.sh("f", cache=hm.CacheNone()),
    ]
