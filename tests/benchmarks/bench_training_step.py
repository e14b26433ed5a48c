"""A training step with Durian's advantages against stock TRL's, on the same rollouts."""

import tempfile
import time
import warnings
from pathlib import Path
from statistics import median

from tests.benchmarks.timing import interleaved

ROOT = Path(__file__).parents[2]
PROMPTS, COMPLETIONS, ROUNDS = 8, 8, 5


def run() -> list[dict[str, object]]:
    """Generation, reward, advantages, forward and backward; not the optimizer's update."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from trl import GRPOTrainer

        from durian.config import ProfileConfig, TrainConfig
        from durian.profile import profile_dataset
        from durian.rewards import open_reward
        from durian.table.join import open_table
        from durian.train import train_policy
        from durian.training.arguments import check_grpo, grpo_config, plan_of
        from durian.training.normalization import normalization_of
        from durian.training.policy import load_policy
        from durian.training.reward import TrainingReward
        from durian.training.samples import open_samples, open_screen
        from durian.training.trainer import DurianTrainer

    with tempfile.TemporaryDirectory() as folder:
        data, model = str(ROOT / "data/photo_shapes/train.parquet"), str(ROOT / "data/tiny_policy")
        profile_dataset(
            ProfileConfig(dataset=data, limit=64, model=model, engine="transformers", rollouts=2,
                          max_tokens=40, out=f"{folder}/run")
        )  # fmt: skip
        config = TrainConfig(
            dataset=data, limit=64, table=f"{folder}/run", model=model, out=f"{folder}/out",
            rollout_batch=PROMPTS, system_prompt="", reward="boxed",
            grpo={"per_device_train_batch_size": PROMPTS * COMPLETIONS, "max_steps": 1,
                  "gradient_checkpointing": False, "save_strategy": "no"},
        )  # fmt: skip
        train_policy(config)  # prepares the samples that both are given
        table = open_table(config)
        grpo = check_grpo(config.grpo, table.manifest)
        plan = plan_of(config, grpo, table, samples=64)
        normalization = normalization_of(config, table.manifest)
        samples = open_samples(Path(config.out), config.pixel_limit)
        screen = open_screen(config, grpo)

        def trainer(kind: type, **more: object) -> object:
            args = grpo_config(config, grpo, plan)
            return kind(model=load_policy(config, args, None), args=args,
                        train_dataset=samples.dataset, **more)  # fmt: skip

        ours = trainer(DurianTrainer, normalization=normalization, chat=screen.chat,
                       reward=TrainingReward(open_reward("boxed")))  # fmt: skip
        stock = trainer(GRPOTrainer, reward_funcs=[TrainingReward(open_reward("boxed"))],
                        processing_class=screen.chat.processor)  # fmt: skip
        rows = [samples.dataset[i] for i in range(PROMPTS) for _ in range(COMPLETIONS)]

        def step(of: object) -> None:
            torch.manual_seed(0)  # the policies are equal and never updated: equal rollouts
            of._step, of._buffered_inputs, of.current_gradient_accumulation_steps = 0, None, 1
            of.model.train()
            of.training_step(of.model, rows, None)
            of.model.zero_grad()

        ways = {"durian": lambda: step(ours), "trl": lambda: step(stock)}
        seconds = interleaved(ways, ROUNDS, clock=time.process_time)
    of_ours, of_trl = seconds["durian"], seconds["trl"]
    return [
        {
            "what": "a training step with Durian against stock TRL's (time, lower is better)",
            "value": median(d / t for d, t in zip(of_ours, of_trl, strict=True)),
            "aim": "<= 1.01",
            "detail": f"{PROMPTS} x {COMPLETIONS}: {median(of_ours):.2f} s against "
            f"{median(of_trl):.2f} s of processor time, {ROUNDS} rounds",
        }
    ]
