"""TRL's own trainers read the files of sft, dpo and trl, and take a step on the tiny policy."""

import json
import os
import subprocess
import sys
import textwrap

# One process, for TRL's imports take most of the time, and warn of much that is theirs.
STEPS = """
    import json, sys, warnings
    warnings.simplefilter("ignore")
    import datasets, torch
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

    policy, out, folders = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    given = dict(
        output_dir=out, max_steps=1, per_device_train_batch_size=2, report_to=[], use_cpu=True,
        bf16=False, save_strategy="no", logging_steps=1, disable_tqdm=True, learning_rate=1e-3,
    )
    took = {}
    for form, kind, how in (
        ("sft", SFTTrainer, SFTConfig(max_length=None, **given)),
        ("dpo", DPOTrainer, DPOConfig(max_length=None, **given)),
        ("trl", GRPOTrainer, GRPOConfig(num_generations=2, max_completion_length=4, **given)),
    ):
        rows = datasets.load_dataset(folders[form], cache_dir=out + "/cache")["train"]
        model = AutoModelForImageTextToText.from_pretrained(policy, dtype=torch.float32)
        further = {}
        if form == "trl":
            def told(completions, solution, durian_reasoning_group, **_):
                took["solutions"] = sorted(set(solution)) and len(solution)
                took["groups"] = len(durian_reasoning_group)
                return [float(i) for i in range(len(completions))]
            further = {"reward_funcs": told}
        trainer = kind(
            model=model, args=how, train_dataset=rows,
            processing_class=AutoProcessor.from_pretrained(policy), **further,
        )
        trainer.train()
        took[form] = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        took[form + " seen"] = len(rows)
    print("TOOK", json.dumps(took))
"""


def test_trls_trainers_take_a_step_on_what_was_exported(export, tiny_policy, tmp_path):
    folders = {}
    for form in ("sft", "dpo", "trl"):
        found, out = export(form)
        folders[form] = str(out.rename(tmp_path / form))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(STEPS), str(tiny_policy), str(tmp_path / "o"),
         json.dumps(folders)],
        capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("TOOK ")]
    assert len(lines) == 1, done.stderr[-3000:]
    took = json.loads(lines[0].removeprefix("TOOK "))
    assert took["sft"][0] > 0 and took["dpo"][0] > 0 and len(took["trl"]) == 1
    assert took["sft seen"] == 10  # nine samples have a right completion, one of them stands twice
    assert (took["solutions"], took["groups"]) == (2, 2)  # the columns reach the reward
