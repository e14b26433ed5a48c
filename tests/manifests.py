"""A manifest.json as a profile writes it, for run folders that tests make by hand."""


def manifest(**changes):
    """JSON values; `changes` take the place of whole keys."""
    return {
        "schema": 1,
        "created": "2026-01-02T03:04:05+00:00",
        "dataset": {"name": "planted", "split": "train", "fingerprint": "aa"},
        "model": {"name": "judge", "fingerprint": "bb"},
        "config": {},
        "logprobs_mode": "raw_logprobs",
        "counts": {"rows": 4, "samples": 4},
        "groups": {
            "perceptual": {"measure": "pixel_entropy", "percentiles": [25.0, 75.0], "edges": [],
                           "sizes": {"easy": 2, "medium": 0, "hard": 1}},
            "reasoning": {"measure": "mean_logprob", "bins": 2, "edges": [],
                          "sizes": {"0": 1, "1": 2}},
        },
        **changes,
    }  # fmt: skip
