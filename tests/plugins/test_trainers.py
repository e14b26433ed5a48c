"""Each plug-in at a stand-in of its trainer's seam (`stand_ins.py`).

`make adapters` runs the real packages, and holds the stand-ins' parameters against theirs.
"""

import functools
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from durian.normalizer import durian_advantages
from durian.plugins import durian_easyr1, durian_slime, durian_swift, durian_verl
from durian.plugins.rows import PluginError, Settings, Teller
from tests.plugins.stand_ins import (
    Proto,
    SlimeSample,
    SwiftTrainer,
    VerlTrainer,
    easyr1_compute_advantage,
    verl_compute_advantage,
)

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


def proto(**columns_of_rows):
    at_tokens, mask = token_level(REWARDS.flatten())
    return Proto(
        {"token_level_rewards": at_tokens, "response_mask": mask},
        {"uid": np.array([f"u{s}" for s in range(3) for _ in range(3)], object), **columns_of_rows},
    )


def extra_info():
    return np.array([columns(s) for s in range(3) for _ in range(3)], object)


def spread_over_tokens(advantages, tokens=4):
    wide = torch.zeros(len(advantages), tokens)
    wide[:, :3] = advantages[:, None]
    return wide


def test_verl_v0_gets_durians_advantages_at_every_response_token():
    data = proto(extra_info=extra_info())
    durian_verl.wrapped_function(verl_compute_advantage)(data, adv_estimator="durian", config={})
    assert torch.allclose(data.batch["advantages"], spread_over_tokens(EXPECTED), atol=1e-7)
    assert data.batch["returns"] is data.batch["advantages"]


def test_verls_config_names_the_weights():
    data = proto(extra_info=extra_info())
    config = {"durian": {"weights": [1.0, 0.0, 0.0]}}
    durian_verl.wrapped_function(verl_compute_advantage)(data, "durian", config=config)
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


def v1_trainer(data, algorithm, store):
    """A V1 trainer under the plug-in, and the V0 function as the plug-in leaves it."""
    trainer = VerlTrainer(data, algorithm, durian_verl.wrapped_function(verl_compute_advantage))
    method = durian_verl.wrapped_method(VerlTrainer._compute_advantage, store)
    return functools.partial(method, trainer)


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
    metrics = {}
    v1_trainer(data, {}, store)(SimpleNamespace(keys=keys, partition_id="p"), metrics)
    assert metrics["durian/samples"] == 3 and metrics["durian/size/perceptual_easy"] == 2
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
    trainer = v1_trainer(data, {"durian": {"groups": "online", "bins": 3}}, store)
    trainer(SimpleNamespace(keys=keys, partition_id="p"), {})
    # The measure 0 1 2 at percentiles 25, 75 (0.5, 1.5): a group each; confidence: a bin each.
    alone = torch.arange(3)
    expected = durian_advantages(REWARDS, alone, alone.flip(0)).flatten()
    assert torch.allclose(data.batch["advantages"][:, 0], expected, atol=1e-7)
    assert "old_log_probs" in store.asked[0]


def test_a_road_of_verl_that_leaves_no_columns_is_refused():
    data = proto()
    with pytest.raises(PluginError, match="without the function that Durian wraps"):
        verl_compute_advantage(data, "durian", config={})


def test_verls_dataset_without_durians_columns_is_refused_before_the_first_step():
    with pytest.raises(PluginError, match="extra_info has no durian_perceptual_group, .*--to verl"):
        durian_verl.check_dataset([{"extra_info": {"sample_id": "a", "index": 0}}])
    with pytest.raises(PluginError, match="extra_info has no sample_id"):
        durian_verl.check_dataset([{"extra_info": None}])
    with pytest.raises(PluginError, match="kept no row of the dataset; .*data.max_prompt_length"):
        durian_verl.check_dataset([])
    with pytest.raises(PluginError, match="extra_info has no durian_reasoning_group; "):
        durian_verl.check_dataset([{"extra_info": columns(0) | {"durian_reasoning_group": None}}])
    durian_verl.check_dataset([{"extra_info": columns(0) | {"durian_perceptual": None}}])


def test_verl_under_another_estimator_is_told_once_that_durian_is_idle(capsys):
    durian_verl._teller.cache_clear()
    data = proto(extra_info=extra_info())
    function = durian_verl.wrapped_function(lambda data, adv_estimator, config=None: "verl's own")
    trainer = v1_trainer(data, {"adv_estimator": "grpo"}, None)
    assert function(data, "grpo") == function(data, "grpo") == "verl's own"
    said = "adv_estimator is grpo, so that Durian is idle"
    assert capsys.readouterr().err.count(said) == 1
    durian_verl._teller.cache_clear()
    trainer(None, {})  # its store is None: nothing is fetched
    assert capsys.readouterr().err.count(said) == 1


def test_verls_trainer_that_took_the_function_by_its_name_gets_the_wrapped_one(monkeypatch):
    ray_trainer = SimpleNamespace(compute_advantage=verl_compute_advantage)
    registered = {}
    core_algos = SimpleNamespace(
        register_adv_est=lambda name: functools.partial(registered.__setitem__, name)
    )
    separation = SimpleNamespace(compute_advantage=verl_compute_advantage)
    ppo = SimpleNamespace(core_algos=core_algos, ray_trainer=ray_trainer)
    monkeypatch.setitem(sys.modules, "verl.trainer.ppo", ppo)
    monkeypatch.setitem(sys.modules, "verl.trainer.ppo.v1", None)
    monkeypatch.setitem(sys.modules, "verl.experimental.separation.ray_trainer", separation)
    durian_verl.install()
    durian_verl.install()
    assert separation.compute_advantage is ray_trainer.compute_advantage
    assert ray_trainer.compute_advantage.__wrapped__ is verl_compute_advantage
    assert registered == {"durian": durian_verl.estimate}


def test_verls_fully_asynchronous_trainer_is_refused_where_it_builds_the_dataset(monkeypatch):
    monkeypatch.setitem(sys.modules, durian_verl._ELSEWHERE, SimpleNamespace())
    with pytest.raises(PluginError, match="fully asynchronous trainer .*; train by verl.trainer"):
        durian_verl.install()


def test_another_signature_of_verl_is_refused_by_name():
    with pytest.raises(PluginError, match="compute_advantage takes data, estimator; use verl"):
        durian_verl.wrapped_function(lambda data, estimator: data)
    with pytest.raises(PluginError, match="_compute_advantage takes self, batch; use verl"):
        durian_verl.wrapped_method(lambda self, batch: batch, None)


def test_verl_that_is_not_there_or_is_easyr1_is_refused(monkeypatch):
    # EasyR1 is called verl too, and has no such modules.
    monkeypatch.setitem(sys.modules, "verl.trainer.ppo", SimpleNamespace(core_algos=None))
    with pytest.raises(PluginError, match="trainer cannot be imported .*durian.plugins.durian_eas"):
        durian_verl.install()


def test_verl_in_easyr1s_place_is_refused(monkeypatch):
    # verl's own main has no Ray actor named Runner.
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())
    trainer = SimpleNamespace(main=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "verl.trainer", trainer)
    with pytest.raises(PluginError, match="`verl` is not EasyR1 .*; for verl itself use data.cust"):
        durian_easyr1.main()


def easyr1(signature=easyr1_compute_advantage):
    return SimpleNamespace(compute_advantage=signature)


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


def swift_method(
    settings=None, gather=lambda found: found, original=SwiftTrainer._compute_advantages
):
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
    found = swift_method()(SwiftTrainer(), samples, two_functions(), [])
    assert torch.allclose(found, EXPECTED, atol=1e-6)


def test_a_completion_that_no_reward_of_swift_scored_counts_in_no_std_and_gets_nothing():
    given = two_functions()
    given[1] = torch.nan
    samples = [columns(s) for s in range(3) for _ in range(3)]
    found = swift_method()(SwiftTrainer(), samples, given, [])
    # ms-swift's own sum would take it for a reward of 0.
    scored = REWARDS.clone()
    scored[0, 1] = torch.nan
    labels = torch.tensor(PERCEPTUAL), torch.tensor(REASONING)
    expected = durian_advantages(scored, *labels).flatten()
    assert found[1] == 0
    assert torch.allclose(found, expected, atol=1e-6)
    assert not torch.allclose(found, EXPECTED, atol=1e-2)


def test_swift_logs_the_groups_beside_its_own_numbers():
    trainer = SwiftTrainer()
    samples = [columns(s) for s in range(3) for _ in range(3)]
    swift_method()(trainer, samples, two_functions(), [])
    assert trainer._metrics["train"]["durian/size/perceptual_easy"] == [2.0]
    assert not trainer._metrics["eval"]


def test_swifts_online_groups_need_log_probabilities():
    batch = SimpleNamespace(old_per_token_logps=None, completion_mask=torch.ones(9, 2))
    samples = [columns(s) for s in range(3) for _ in range(3)]
    method = swift_method(Settings(groups="online", bins=2))
    with pytest.raises(PluginError, match="no log-probabilities .*; use groups=offline"):
        method(SwiftTrainer(), samples, two_functions(), [{"grpo_batch": batch}])
    batch.old_per_token_logps = -torch.arange(18.0).reshape(9, 2)
    found = method(SwiftTrainer(), samples, two_functions(), [{"grpo_batch": batch}])
    # The measure 0 1 2 is a group each. Confidence falls: the least sure are sample 2, then 1; the
    # median of -2.5, -8.5, -14.5 parts {2} from {1, 0}.
    expected = durian_advantages(REWARDS, torch.arange(3), torch.tensor([1, 1, 0]))
    assert torch.allclose(found, expected.flatten(), atol=1e-6)


@pytest.mark.parametrize("module", ["swift.megatron", "swift.ray.megatron"])
def test_swifts_other_back_ends_are_refused_by_what_is_loaded(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, SimpleNamespace())
    with pytest.raises(PluginError, match="Megatron and Ray back ends .*; use `swift rlhf`"):
        durian_swift.install()


def test_swift_joins_the_labels_of_all_processes():
    # The first process has samples 0 and 1, the second sample 2; rewards come gathered.
    here = [columns(s) for s in (0, 1) for _ in range(3)]
    there = [(columns(2), None)] * 3
    method = swift_method(gather=lambda found: found + there)
    found = method(SwiftTrainer(), here, two_functions(), [])
    assert torch.allclose(found, EXPECTED, atol=1e-6)


@pytest.mark.parametrize(("fields", "said"), [
    ({"advantage_estimator": "rloo"}, "--advantage_estimator is rloo; leave it grpo"),
    ({"scale_rewards": "gdpo"}, "--scale_rewards is gdpo"),
    ({"kl_in_reward": True, "beta": 0.1}, "use the KL in the loss"),
])  # fmt: skip
def test_swifts_settings_that_durian_would_silently_undo_are_refused(fields, said):
    trainer = SwiftTrainer()
    for name, value in fields.items():
        setattr(trainer, name, value)
    with pytest.raises(PluginError, match=said):
        swift_method()(trainer, [columns(0)], torch.zeros(1, 2), [])


def test_other_completions_than_swift_has_advantages_for_are_refused():
    def original(self, samples, rewards_per_func, batch_encoded_inputs):
        return torch.zeros(len(samples) - 1)

    samples = [columns(s) for s in range(3) for _ in range(3)]
    with pytest.raises(PluginError, match="computed 8 advantages of 9 completions, .* multi-turn"):
        swift_method(original=original)(SwiftTrainer(), samples, two_functions(), [])


def test_swift_of_another_signature_or_without_ids_is_refused():
    with pytest.raises(PluginError, match="takes self, samples, rewards; use ms-swift 4"):
        swift_method(original=lambda self, samples, rewards: None)
    with pytest.raises(PluginError, match="no column 'sample_id'; .*--to swift"):
        swift_method()(SwiftTrainer(), [{}], torch.zeros(1, 2), [])


def slime_samples():
    return [SlimeSample(s, float(REWARDS[s, g]), columns(s)) for s in range(3) for g in range(3)]


def test_slimes_hook_gives_raw_rewards_and_durians_advantages():
    args = SimpleNamespace(advantage_estimator="grpo", normalize_advantages=False)
    raw, found = durian_slime.advantages(args, slime_samples())
    assert raw == REWARDS.flatten().tolist()
    assert found == pytest.approx(EXPECTED.tolist(), abs=1e-6)


def test_a_sample_that_slime_leaves_out_counts_in_no_groups_std():
    args, samples = SimpleNamespace(advantage_estimator="gspo"), slime_samples()
    gone = SlimeSample(9, 1.0, columns(0), remove_sample=True)
    _, found = durian_slime.advantages(args, [*samples, gone])
    assert found == pytest.approx([*EXPECTED.tolist(), 0.0], abs=1e-6)


def test_siblings_cut_of_one_rollout_of_slime_are_judged_once_by_the_last():
    # Sample 0's second completion was cut in two, the first part of which earned 0.7.
    args, samples = SimpleNamespace(advantage_estimator="grpo"), slime_samples()
    samples.insert(1, SlimeSample(0, 0.7, columns(0), rollout_id=5))
    samples[2].rollout_id = 5
    raw, found = durian_slime.advantages(args, samples)
    expected = EXPECTED.tolist()
    assert found == pytest.approx([expected[0], expected[1], *expected[1:]], abs=1e-6)
    assert raw[1] == 0.7


def test_slimes_confidence_leaves_out_what_a_tool_said():
    samples = slime_samples()
    for number, sample in enumerate(samples):
        sample.rollout_log_probs, sample.loss_mask = [-1.0 - number, -50.0 * number], [1, 0]
    confidence = durian_slime._confidence(samples)
    assert confidence.tolist() == [-1.0 - number for number in range(9)]
    samples[3].rollout_log_probs = None
    assert durian_slime._confidence(samples) is None


@pytest.mark.parametrize(("fields", "index", "said"), [
    ({"normalize_advantages": True}, 0, "--normalize-advantages would scale .*; leave it out"),
    ({"normalize_advantages": False}, None, "a sample has no group_index"),
])  # fmt: skip
def test_what_slime_would_undo_or_does_not_tell_is_refused(fields, index, said):
    args = SimpleNamespace(advantage_estimator="grpo", **fields)
    with pytest.raises(PluginError, match=said):
        durian_slime.advantages(args, [SlimeSample(index, 1.0, columns(0))])


def test_slimes_other_estimators_are_refused():
    with pytest.raises(PluginError, match="is ppo, .*; use one of grpo, gspo, cispo"):
        durian_slime.advantages(SimpleNamespace(advantage_estimator="ppo"), slime_samples())


def test_the_path_of_a_plug_in_is_printed_and_an_unknown_one_refused():
    def run(*words):
        command = [sys.executable, "-m", "durian.plugins.path", *words]
        return subprocess.run(command, capture_output=True, text=True)

    found = run("swift")
    assert found.returncode == 0 and Path(found.stdout.strip()).name == "durian_swift.py"
    reward = Path(run("reward").stdout.strip())
    assert reward.exists() and "\ndef compute_score(" in reward.read_text()
    wrong = run("trl")
    assert wrong.returncode == 2 and wrong.stdout == ""
    assert "no plug-in 'trl'; name one of easyr1, reward, slime, swift, verl" in wrong.stderr


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
