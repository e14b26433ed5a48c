"""Durian's sampler inside verl, at stand-ins of its interface, its loader and its trainers."""

import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from durian.plugins import durian_verl
from durian.plugins.rows import PluginError
from durian.plugins.verl_sampler import CurriculumSampler, SamplerSettings
from tests.plugins.stand_ins import (
    AbstractCurriculumSampler,
    Proto,
    VerlTrainer,
    create_rl_sampler,
    verl_compute_advantage,
)

RATES = [0.0, 0.125, 0.5, 0.5, 0.875, 1.0, None, 0.25, 0.75, 0.5]


class Dataset:
    """verl's dataset as far as a sampler goes: its frame, by columns, and its length."""

    def __init__(self, rates=RATES, **more):
        rows = [
            {"sample_id": f"s{row}", "durian_pass_rate": rate, "durian_perceptual_group": 0,
             "durian_reasoning_group": 0, "durian_perceptual": 0.0, **more}
            for row, rate in enumerate(rates)
        ]  # fmt: skip
        self.dataframe = {"extra_info": rows}

    def __len__(self):
        return len(self.dataframe["extra_info"])


def config(**given):
    return {"train_batch_size": 4, "gen_batch_size": None, "seed": None, **given}


def proto(rows, correct, dataset, **columns):
    """A rollout batch of verl's: a row a completion, each of reward 1."""
    info = dataset.dataframe["extra_info"]
    tokens, mask = torch.zeros(len(rows), 2), torch.ones(len(rows), 2)
    tokens[:, 1] = 1.0
    return Proto(
        {"token_level_rewards": tokens, "response_mask": mask},
        {
            "uid": np.array([f"u{row}" for row in rows], object),
            "extra_info": np.array([info[row] for row in rows], object),
            "acc": np.array(correct),
            **columns,
        },
    )


def state_of(sampler, row):
    seen = sampler.state_dict()["curriculum"]
    return seen["right"][row], seen["wrong"][row]


@pytest.fixture(autouse=True)
def no_sampler():
    yield
    durian_verl._samplers.clear()
    durian_verl._asked.clear()
    vars(durian_verl).pop("DurianSampler", None)


def test_a_sampler_begins_at_the_exported_pass_rates():
    sampler = CurriculumSampler(Dataset(), config(durian={"rollouts": 16}))
    assert state_of(sampler, 1) == (2.0, 14.0) and state_of(sampler, 6) == (0.0, 0.0)
    assert sampler.settings.order == "frontier"


def test_an_epoch_is_whole_batches_of_rows_that_differ():
    sampler = CurriculumSampler(Dataset(), config())
    one, other = list(sampler), list(sampler)
    assert len(sampler) == len(one) == len(other) == 8 and one != other
    assert all(len(set(rows[at : at + 4])) == 4 for rows in (one, other) for at in (0, 4))
    assert list(CurriculumSampler(Dataset(), config())) == one
    assert list(CurriculumSampler(Dataset(), config(seed=1))) != one
    # What verl fetches at once must not hold a row twice either.
    assert len(set(CurriculumSampler(Dataset(), config(gen_batch_size=10)))) == 10


def test_rows_of_one_sample_are_drawn_as_one():
    dataset = Dataset([0.5, 0.25, 0.75])
    dataset.dataframe["extra_info"].append(dataset.dataframe["extra_info"][1])
    assert sorted(CurriculumSampler(dataset, config(train_batch_size=3))) == [0, 1, 2]


def test_a_sampler_learns_from_acc_and_from_no_reward():
    dataset = Dataset()
    sampler = CurriculumSampler(dataset, config(durian={"frontier_decay": 1.0}))
    batch = proto([2, 2, 0, 0], [True, False, False, False], dataset)
    batch.batch["response_mask"][3] = 0  # a row that verl padded the batch with
    sampler.update(batch)
    assert state_of(sampler, 2) == (4 + 1, 4 + 1) and state_of(sampler, 0) == (0, 8 + 1)
    del batch.non_tensor_batch["acc"]
    with pytest.raises(PluginError, match="the reward gives no `acc`"):
        sampler.update(batch)


def test_a_sampler_goes_on_in_the_middle_of_an_epoch():
    dataset = Dataset()
    whole = CurriculumSampler(dataset, config())
    rows = iter(whole)
    first = [next(rows) for _ in range(5)]  # one of the second batch
    whole.update(proto(first[:4], [True, True, False, True], dataset))
    kept = pickle.dumps(whole.state_dict())
    resumed = CurriculumSampler(dataset, config())
    resumed.load_state_dict(pickle.loads(kept))
    assert list(resumed) == list(rows)
    whole.update(proto([2, 3], [False, False], dataset))
    resumed.update(proto([2, 3], [False, False], dataset))
    assert list(resumed) == list(whole)


def test_verl_before_0_8_finds_its_own_base_class_and_updates_by_itself(monkeypatch):
    monkeypatch.setitem(sys.modules, "verl", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "verl.experimental", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "verl.experimental.dataset", SimpleNamespace())
    interface = SimpleNamespace(AbstractCurriculumSampler=AbstractCurriculumSampler)
    monkeypatch.setitem(sys.modules, "verl.experimental.dataset.sampler", interface)
    dataset = Dataset()
    # As verl calls it: by keywords, and `update` after each step.
    sampler = durian_verl.DurianSampler(data_source=dataset, data_config=config())
    assert isinstance(sampler, AbstractCurriculumSampler)
    sampler.update(batch=proto([2], [True], dataset))
    utils = SimpleNamespace(create_rl_sampler=create_rl_sampler)
    monkeypatch.setitem(sys.modules, "verl.trainer.ppo.utils", utils)
    durian_verl._wrap_creation()
    assert utils.create_rl_sampler is create_rl_sampler


NAMED = {"sampler": {"class_path": "pkg://durian.plugins.durian_verl",
                     "class_name": "DurianSampler"}, "dataloader_num_workers": 0}  # fmt: skip


def test_verl_since_0_8_builds_the_sampler_where_the_same_settings_name_it(monkeypatch, capsys):
    utils = SimpleNamespace(create_rl_sampler=create_rl_sampler)
    monkeypatch.setitem(sys.modules, "verl.trainer.ppo.utils", utils)
    durian_verl._wrap_creation()
    dataset = Dataset()
    assert utils.create_rl_sampler(config(), dataset) == "verl's own"
    with pytest.raises(PluginError, match="dataloader_num_workers is 8, .*; set it to 0"):
        utils.create_rl_sampler(config(**NAMED | {"dataloader_num_workers": 8}), dataset)
    sampler = utils.create_rl_sampler(config(**NAMED, durian={"order": "pools"}), dataset)
    assert isinstance(sampler, torch.utils.data.Sampler) and len(list(sampler)) == 8
    assert "durian (verl): prompts are drawn by pools" in capsys.readouterr().err
    with pytest.raises(PluginError, match="create_rl_sampler takes config; use verl"):
        durian_verl.wrapped_creation(lambda config: None)


@pytest.fixture
def drawn_by():
    """A dataset, and the sampler that the wrapped functions teach."""
    dataset = Dataset()
    create = durian_verl.wrapped_creation(create_rl_sampler)
    return dataset, create(config(**NAMED, durian={"frontier_decay": 1.0}), dataset)


@pytest.mark.parametrize("estimator", ["durian", "grpo"])
def test_v0_teaches_the_sampler_before_the_step_is_saved(drawn_by, estimator):
    dataset, sampler = drawn_by
    batch = proto([2, 2, 3, 3], [True, True, False, False], dataset)
    durian_verl.wrapped_function(verl_compute_advantage)(batch, estimator, config={})
    assert state_of(sampler, 2) == (6, 4) and state_of(sampler, 3) == (4, 6)


def test_v1_teaches_the_sampler_by_the_last_output_of_each_session(drawn_by):
    dataset, sampler = drawn_by
    info = dataset.dataframe["extra_info"]
    #  session u2_0 has two outputs, of which the last is right; the padding row answers nothing
    keys = ["u2_0_0", "u2_0_1", "u3_0_0", "pad0_0_0"]
    rows, right, mask = [2, 2, 3, 2], [0.0, 1.0, 0.0, 1.0], [1, 1, 1, 0]
    held = {
        "extra_info": np.array([info[row] for row in rows], object),
        "extra_fields": [SimpleNamespace(data={"reward_extra_info": {"acc": of}}) for of in right],
        "response_mask": [torch.full((2,), one) for one in mask],
    }
    asked = []

    def fetch(keys, partition_id, select_fields):
        asked.append(select_fields)
        return {name: held[name] for name in select_fields}

    store = SimpleNamespace(kv_batch_get=fetch)
    method = durian_verl.wrapped_method(VerlTrainer._compute_advantage, store)
    trainer = VerlTrainer(None, {"adv_estimator": "grpo"}, lambda *_, **__: "verl's own")
    batch = SimpleNamespace(keys=keys, partition_id="train")
    assert method(trainer, batch, {}) == "verl's own"
    assert asked == [["extra_info", "extra_fields", "response_mask"]]
    assert state_of(sampler, 2) == (5, 4) and state_of(sampler, 3) == (4, 5)
    held["extra_fields"] = [{} for _ in keys]
    with pytest.raises(PluginError, match="the reward gives no `acc`"):
        method(trainer, batch, {})


def test_a_sampler_that_verl_did_not_build_is_told_at_the_first_batch():
    durian_verl.note_sampler(NAMED)
    with pytest.raises(PluginError, match="names DurianSampler, and this verl built another"):
        durian_verl.wrapped_function(verl_compute_advantage)(
            proto([2], [True], Dataset()), "durian", config={}
        )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"order": "shuffle"}, "order is 'shuffle'; it must be frontier or pools"),
        ({"frontier_decay": 2}, "frontier_decay is 2.0; it must be between 0 and 1"),
        ({"frontier_prior": 0}, "frontier_prior is 0.0; it must be above 0"),
        ({"pools": {"simple": 1}}, "pools is {'simple': 1.0}; it must give shares to easy"),
        ({"pools": "easy"}, "pools is 'easy', which cannot be read"),
        ({"rollouts": 0}, "rollouts is 0; it must be 1 or more"),
        ({"decay": 0.5}, "no setting 'decay'; known are frontier_decay, frontier_prior, order"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(given, said):
    with pytest.raises(PluginError) as refused:
        SamplerSettings.read(given, {})
    assert said in str(refused.value)


def test_settings_come_from_the_environment_too():
    found = SamplerSettings.read({"order": "pools"}, {"DURIAN_POOLS": "easy=1,hard=3"})
    assert (found.order, found.pools) == ("pools", {"easy": 1.0, "hard": 3.0})


def test_data_that_cannot_be_drawn_from_are_refused():
    bare = Dataset()
    del bare.dataframe["extra_info"][3]["durian_pass_rate"]
    with pytest.raises(PluginError, match="no durian_pass_rate; write the data by `durian export"):
        CurriculumSampler(bare, config())
    with pytest.raises(PluginError, match="a batch of 11 .*; no sample is drawn twice in a batch"):
        CurriculumSampler(Dataset(), config(train_batch_size=11))
