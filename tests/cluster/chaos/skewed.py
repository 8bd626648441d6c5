"""A member whose clocks are wrong: `python -m tests.cluster.chaos.skewed RATE JSON`.

Its monotonic clock runs at RATE, and its time of day jumps by up to a day every two seconds. Both
are in place before anything else is imported that could keep hold of the right ones.
"""

import asyncio
import random
import sys
import time

DAY_SECONDS = 86_400.0
JUMP_SECONDS = 2.0


def skew(rate: float) -> None:
    monotonic, wall = time.monotonic, time.time
    began = monotonic()

    def skewed() -> float:
        return began + (monotonic() - began) * rate

    def jumping() -> float:
        at = int(monotonic() / JUMP_SECONDS)
        return wall() + random.Random(at).uniform(-DAY_SECONDS, DAY_SECONDS)

    time.monotonic, time.time = skewed, jumping
    time.time_ns = lambda: int(jumping() * 1e9)


if __name__ == "__main__":
    skew(float(sys.argv[1]))

    import msgspec

    from tests.cluster.chaos import member

    with asyncio.Runner() as runner:
        runner.run(member.main(msgspec.json.decode(sys.argv[2], type=member.Settings)))
