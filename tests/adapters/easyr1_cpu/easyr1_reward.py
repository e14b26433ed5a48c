"""A planted reward for EasyR1: of each text by its checksum."""

import zlib

REWARD_NAME, REWARD_TYPE = "planted", "batch"
WORTH = (0.0, 0.1, 0.9, 1.0)


def score(reward_inputs):
    """EasyR1's form: a dict a completion."""
    sums = [zlib.crc32(one["response"].encode()) for one in reward_inputs]
    return [
        {"overall": WORTH[each % 4], "format": float(each % 2), "accuracy": float(each % 4 > 1)}
        for each in sums
    ]
