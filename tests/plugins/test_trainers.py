"""Each plug-in at a stand-in of its trainer's seam, of the signature that the real one has.

`make adapters` runs the real packages; what they hand over is described where a stand-in is made.
"""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from durian.normalizer import durian_advantages
from durian.plugins import durian_easyr1, durian_slime, durian_swift, durian_verl
from durian.plugins.rows import PluginError, Settings, Teller

REWARDS = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.1, 0.1, 1.0]])  # (B, G)
PERCEPTUAL, REASONING = [0, 0, 1], [3, 4, 4]
EXPECTED = durian_advantages(REWARDS, torch.tensor(PERCEPTUAL), torch.tensor(REASONING)).flatten()


def columns(sample):
    return {
        "sample_id": f"s{sample}",
        "durian_perceptual_group": PERCEPTUAL[sample],
        "durian_reasoning_group": REASONING[sample],
        "durian_perceptual": float(sample),
    }


def token_level(rewards, tokens=4):
    """A reward at the last of 3 response tokens, as verl and EasyR1 place it; and the mask."""
    at_tokens, mask = torch.zeros(len(rewards), tokens), torch.zeros(len(rewards), tokens)
    at_tokens[:, 2], mask[:, :3] = rewards, 1
    return at_tokens, mask


@dataclass
class Proto:
    """verl's DataProto: tensors by name, and object arrays by name."""

    batch: dict[str, Any] = field(default_factory=dict)
    non_tensor_batch: dict[str, Any] = field(default_factory=dict)


def proto(**columns_of_rows):
    at_tokens, mask = token_level(REWARDS.flatten())
    return Proto(
        {"token_level_rewards": at_tokens, "response_mask": mask},
        {"uid": np.array([f"u{s}" for s in range(3) for _ in range(3)], object), **columns_of_rows},
    )


def extra_info():
    return np.array([columns(s) for s in range(3) for _ in range(3)], object)


def calls_estimator(
    data, adv_estimator, gamma=1.0, lam=1.0, num_repeat=1, norm_adv_by_std_in_grpo=True, config=None
):
    """verl's compute_advantage, as it calls an estimator of a name that it does not know."""
    data.batch["advantages"], data.batch["returns"] = durian_verl.estimate(
        token_level_rewards=data.batch["token_level_rewards"],
        response_mask=data.batch["response_mask"],
        config=config,
        index=data.non_tensor_batch["uid"],
    )
    return data


def spread_over_tokens(advantages, tokens=4):
    wide = torch.zeros(len(advantages), tokens)
    wide[:, :3] = advantages[:, None]
    return wide


def test_verl_v0_gets_durians_advantages_at_every_response_token():
    data = proto(extra_info=extra_info())
    durian_verl.wrapped_function(calls_estimator)(data, adv_estimator="durian", config={})
    assert torch.allclose(data.batch["advantages"], spread_over_tokens(EXPECTED), atol=1e-7)
    assert data.batch["returns"] is data.batch["advantages"]


def test_verls_config_names_the_weights():
    data = proto(extra_info=extra_info())
    config = {"durian": {"weights": [1.0, 0.0, 0.0]}}
    durian_verl.wrapped_function(calls_estimator)(data, "durian", config=config)
    own = durian_advantages(
        REWARDS, torch.tensor(PERCEPTUAL), torch.tensor(REASONING), (1.0, 0.0, 0.0)
    )
    assert torch.allclose(data.batch["advantages"][:, 0], own.flatten(), atol=1e-7)
    assert not torch.allclose(own.flatten(), EXPECTED)


class Store:
    """verl's transfer queue: the columns of a batch by its keys, responses as nested rows."""

    def __init__(self, **held):
        self.held, self.asked = held, []

    def kv_batch_get(self, *, keys, partition_id, select_fields):
        self.asked.append(select_fields)
        return {name: self.held[name] for name in select_fields}


def v1_trainer(data, algorithm):
    class PPOTrainer:
        config = SimpleNamespace(
            algorithm=SimpleNamespace(adv_estimator="durian", get=algorithm.get)
        )

        def _compute_advantage(self, batch, metrics):
            # The real one gets data without the dataset's columns, and calls the V0 function.
            return durian_verl.wrapped_function(calls_estimator)(
                data, "durian", config=self.config.algorithm
            )

    return PPOTrainer


def test_verl_v1_judges_a_sessions_last_output_and_leaves_padding_out():
    # Sample 0 has three sessions, the second of two outputs (the earlier one earned 0 itself);
    # behind all stands a padding row: no response, the first sample's columns.
    sample = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 0]
    keys = ["u0_0_0", "u0_1_0", "u0_1_1", "u0_2_0", "u1_0_0", "u1_1_0", "u1_2_0",
            "u2_0_0", "u2_1_0", "u2_2_0", "padff_0_0"]  # fmt: skip
    rewards = REWARDS.clone()
    rewards[0] = torch.tensor([1.0, 0.7, 0.0])
    flat = torch.tensor([1.0, 0.0, 0.7, 0.0, *rewards[1:].flatten().tolist(), 0.0])
    at_tokens, mask = token_level(flat)
    mask[-1] = 0
    uid = np.array([key.split("_")[0] for key in keys], object)
    data = Proto({"token_level_rewards": at_tokens, "response_mask": mask}, {"uid": uid})
    store = Store(extra_info=[columns(s) for s in sample], response_mask=list(mask))
    trainer = v1_trainer(data, {})
    method = durian_verl.wrapped_method(trainer._compute_advantage, store)
    method(trainer(), SimpleNamespace(keys=keys, partition_id="p"), {})
    expected = durian_advantages(
        rewards, torch.tensor(PERCEPTUAL), torch.tensor(REASONING)
    ).flatten()
    found = data.batch["advantages"][:, 0]
    assert torch.allclose(found[[0, 2, 3, *range(4, 10)]], expected, atol=1e-7)
    assert found[1] == found[2] and found[10] == 0
    assert store.asked == [["extra_info", "response_mask"]]


def test_verl_v1_fetches_log_probabilities_for_online_groups_alone():
    data = proto()
    mask = data.batch["response_mask"]
    keys = [f"u{s}_{g}_0" for s in range(3) for g in range(3)]
    # The least sure sample is the last one: two bins are {2} and {0, 1}, or {2, 1} and {0}.
    logprobs = [torch.full((4,), -1.0 - s) for s in range(3) for _ in range(3)]
    store = Store(extra_info=list(extra_info()), response_mask=list(mask), old_log_probs=logprobs)
    trainer = v1_trainer(data, {"durian": {"groups": "online", "bins": 3}})
    method = durian_verl.wrapped_method(trainer._compute_advantage, store)
    method(trainer(), SimpleNamespace(keys=keys, partition_id="p"), {})
    # The measure 0 1 2 at percentiles 25, 75 (0.5, 1.5): a group each; confidence: a bin each.
    alone = torch.arange(3)
    expected = durian_advantages(REWARDS, alone, alone.flip(0)).flatten()
    assert torch.allclose(data.batch["advantages"][:, 0], expected, atol=1e-7)
    assert "old_log_probs" in store.asked[0]


def test_a_road_of_verl_that_leaves_no_columns_is_refused():
    data = proto()
    with pytest.raises(PluginError, match="without the function that Durian wraps"):
        calls_estimator(data, "durian", config={})


def test_verls_dataset_without_durians_columns_is_refused_before_the_first_step():
    with pytest.raises(PluginError, match="extra_info has no durian_perceptual_group, .*--to verl"):
        durian_verl.check_columns({"sample_id": "a", "index": 0})
    durian_verl.check_columns(columns(0))


def test_another_signature_of_verl_is_refused_by_name():
    with pytest.raises(PluginError, match="compute_advantage takes data, estimator; use verl"):
        durian_verl.wrapped_function(lambda data, estimator: data)
    with pytest.raises(PluginError, match="_compute_advantage takes self, batch; use verl"):
        durian_verl.wrapped_method(lambda self, batch: batch, None)


def easyr1(signature=None):
    def compute_advantage(data, adv_estimator, gamma=1.0, lam=1.0):
        raise AssertionError("EasyR1's own function was called")

    return SimpleNamespace(compute_advantage=signature or compute_advantage)


def test_easyr1_gets_durians_advantages_in_place_of_its_own():
    names = ("sample_id", "durian_perceptual_group", "durian_reasoning_group", "durian_perceptual")
    rows = {name: np.array([row[name] for row in extra_info()], object) for name in names}
    data, module = proto(**rows), easyr1()
    durian_easyr1.install(module, Settings(), Teller("easyr1"))
    module.compute_advantage(data, SimpleNamespace(value="grpo"), 1.0, 1.0)
    assert torch.allclose(data.batch["advantages"], spread_over_tokens(EXPECTED), atol=1e-7)


def test_easyr1_of_another_signature_or_estimator_is_refused():
    with pytest.raises(PluginError, match="takes data, kind, not data, adv_estimator, gamma, lam"):
        durian_easyr1.install(easyr1(lambda data, kind: data), Settings(), Teller("easyr1"))
    module = easyr1()
    durian_easyr1.install(module, Settings(), Teller("easyr1"))
    with pytest.raises(PluginError, match="adv_estimator is rloo; set it to grpo"):
        module.compute_advantage(proto(), "rloo")


def swift_trainer(**fields):
    return SimpleNamespace(
        reward_weights=torch.tensor([1.0, 0.5]), advantage_estimator="grpo", scale_rewards="group",
        kl_in_reward=False, beta=0.0, **fields,
    )  # fmt: skip


def theirs(self, samples, rewards_per_func, batch_encoded_inputs):
    return torch.zeros(len(rewards_per_func))


def swift_method(settings=None, gather=lambda found: found, original=theirs):
    return durian_swift.wrapped(original, settings or Settings(), Teller("swift"), gather)


def two_functions():
    """Two reward functions whose weighted sum (1, 0.5) is REWARDS; the second unscored at times."""
    first = REWARDS.flatten().clone()
    second = torch.zeros(9)
    first[0], second[0] = 0.5, 1.0
    second[4] = torch.nan
    return torch.stack([first, second], dim=1)


@pytest.mark.parametrize("form", [dict, lambda row: SimpleNamespace(extra=row)], ids=["4.3", "4.4"])
def test_swift_gets_durians_advantages_of_its_weighed_rewards(form):
    samples = [form(columns(s)) for s in range(3) for _ in range(3)]
    found = swift_method()(swift_trainer(), samples, two_functions(), [])
    assert torch.allclose(found, EXPECTED, atol=1e-6)


def test_swift_joins_the_labels_of_all_processes():
    # The first process has samples 0 and 1, the second sample 2; rewards come gathered.
    here = [columns(s) for s in (0, 1) for _ in range(3)]
    there = [(columns(2), None)] * 3
    method = swift_method(gather=lambda found: found + there)
    found = method(swift_trainer(), here, two_functions(), [])
    assert torch.allclose(found, EXPECTED, atol=1e-6)


@pytest.mark.parametrize(("fields", "said"), [
    ({"advantage_estimator": "rloo"}, "--advantage_estimator is rloo; leave it grpo"),
    ({"scale_rewards": "gdpo"}, "--scale_rewards is gdpo"),
    ({"kl_in_reward": True, "beta": 0.1}, "use the KL in the loss"),
])  # fmt: skip
def test_swifts_settings_that_durian_would_silently_undo_are_refused(fields, said):
    trainer = swift_trainer()
    for name, value in fields.items():
        setattr(trainer, name, value)
    with pytest.raises(PluginError, match=said):
        swift_method()(trainer, [columns(0)], torch.zeros(1, 2), [])


def test_swift_of_another_signature_or_without_ids_is_refused():
    with pytest.raises(PluginError, match="takes self, samples, rewards; use ms-swift 4"):
        swift_method(original=lambda self, samples, rewards: None)
    with pytest.raises(PluginError, match="no column 'sample_id'; .*--to swift"):
        swift_method()(swift_trainer(), [{}], torch.zeros(1, 2), [])


@dataclass
class SlimeSample:
    """slime's Sample, as far as the hook reads it."""

    group_index: int
    reward: float
    metadata: dict[str, Any]
    remove_sample: bool = False
    rollout_log_probs: list[float] | None = None

    def get_reward_value(self, args):
        return self.reward


def slime_samples():
    return [SlimeSample(s, float(REWARDS[s, g]), columns(s)) for s in range(3) for g in range(3)]


def test_slimes_hook_gives_raw_rewards_and_durians_advantages():
    args = SimpleNamespace(advantage_estimator="grpo")
    raw, found = durian_slime.advantages(args, slime_samples())
    assert raw == REWARDS.flatten().tolist()
    assert found == pytest.approx(EXPECTED.tolist(), abs=1e-6)


def test_a_sample_that_slime_leaves_out_counts_in_no_groups_std():
    args, samples = SimpleNamespace(advantage_estimator="gspo"), slime_samples()
    gone = SlimeSample(9, 1.0, columns(0), remove_sample=True)
    _, found = durian_slime.advantages(args, [*samples, gone])
    assert found == pytest.approx([*EXPECTED.tolist(), 0.0], abs=1e-6)


def test_slimes_other_estimators_are_refused():
    with pytest.raises(PluginError, match="is ppo, .*; use one of grpo, gspo, cispo"):
        durian_slime.advantages(SimpleNamespace(advantage_estimator="ppo"), slime_samples())


def test_the_path_of_a_plug_in_is_printed_and_an_unknown_one_refused():
    def run(*words):
        command = [sys.executable, "-m", "durian.plugins.path", *words]
        return subprocess.run(command, capture_output=True, text=True)

    found = run("swift")
    assert found.returncode == 0 and Path(found.stdout.strip()).name == "durian_swift.py"
    wrong = run("trl")
    assert wrong.returncode == 2 and wrong.stdout == ""
    assert "no plug-in 'trl'; name one of easyr1, slime, swift, verl" in wrong.stderr


def test_plug_ins_load_where_numpy_and_torch_are_all_there_is():
    code = (
        "import sys\n"
        "class Only:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in BLOCKED: raise ImportError(name + ' is blocked')\n"
        "BLOCKED = {'polars', 'pyarrow', 'scipy', 'skimage', 'PIL', 'typer', 'trl', 'yaml',\n"
        "           'transformers', 'datasets', 'matplotlib', 'rich', 'math_verify', 'vllm'}\n"
        "sys.meta_path.insert(0, Only())\n"
        "from durian.plugins import durian_easyr1, durian_slime, durian_swift, durian_verl\n"
        "from durian.normalizer import durian_advantages\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
