"""`durian train` in one process of a launch, keeping the advantages that this process learns from.

Usage: torchrun ... keep_slices.py WHERE train ...
"""

import json
import os
import sys
from pathlib import Path

from durian.training.trainer import DurianTrainer
from durian_cli.app import main

where = Path(f"{sys.argv.pop(1)}-{os.environ['RANK']}.jsonl")
inner = DurianTrainer._generate_and_score_completions


def kept(self, inputs):
    out = inner(self, inputs)
    rows = zip((x["sample_id"] for x in inputs), out["advantages"].tolist(), strict=True)
    with where.open("a") as file:
        file.write(json.dumps(list(rows)) + "\n")
    return out


DurianTrainer._generate_and_score_completions = kept
main()
