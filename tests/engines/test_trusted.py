"""Nothing that comes with a model or a dataset runs: not its code, not its pickles."""

import io
import json
import shutil
import tarfile
import warnings
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from durian.config import DatasetConfig, SamplingConfig, TrainConfig
from durian.engines.chat import load_chat
from durian.engines.fingerprint import model_fingerprint
from durian.engines.loading import open_encoder, open_engine
from durian.engines.patches import find_family
from durian.errors import ConfigError
from durian.readers.dataset import open_dataset
from tests.cli.in_process import durian
from tests.engines.drawing import draw

# What TRL, vLLM and torch warn of while they are imported is theirs.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from trl import GRPOTrainer  # noqa: F401

    from durian.training.policy import count_parameters, load_policy
    from durian.training.samples import open_screen

LINE = (
    "it needs code that comes with it, and that is not run unless asked; "
    "read that code, then pass --trust-remote-code"
)
CODE = """
from pathlib import Path
from transformers import PretrainedConfig
Path({ran!r}).write_text("")
class PlantedConfig(PretrainedConfig):
    model_type = "planted"
class PlantedProcessor:
    pass
class PlantedModel:
    pass
"""


class Bomb:
    """An object whose unpickling makes a file."""

    def __init__(self, ran: Path) -> None:
        self.ran = ran

    def __reduce__(self):
        return Path.touch, (self.ran,)


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """What planted code makes, should it run."""
    return tmp_path / "ran"


@pytest.fixture
def planted(tiny_policy: Path, tmp_path: Path, ran: Path) -> Path:
    """The tiny policy with code of its own for its configuration and its model."""
    folder = tmp_path / "planted"
    shutil.copytree(tiny_policy, folder)
    (folder / "mine.py").write_text(CODE.format(ran=str(ran)))
    config = json.loads((folder / "config.json").read_text())
    names = ("AutoModelForImageTextToText", "AutoModelForCausalLM", "AutoModel")
    config |= {
        "model_type": "planted",
        "architectures": ["PlantedModel"],
        "auto_map": {"AutoConfig": "mine.PlantedConfig"}
        | dict.fromkeys(names, "mine.PlantedModel"),
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def wholly_planted(planted: Path) -> Path:
    """As `planted`, and for its processor too."""
    path = planted / "processor_config.json"
    settings = json.loads(path.read_text())
    settings |= {
        "processor_class": "Planted",
        "auto_map": {"AutoProcessor": "mine.PlantedProcessor"},
    }
    path.write_text(json.dumps(settings))
    return planted


def training(model: Path, out: Path) -> TrainConfig:
    return TrainConfig(dataset="unused", table="unused", model=str(model), out=str(out))


ROADS = {
    "transformers": lambda c: open_engine(c("transformers")),
    "vllm": lambda c: open_engine(c("vllm")),
    "architecture": lambda c: find_family(c("vllm")),
    "encoder": lambda c: open_encoder(c("vllm"), features="encoder"),
    "parameters": lambda c: count_parameters(c(None)),
    "training": lambda c: load_policy(c(None), SimpleNamespace(model_init_kwargs=None), None),
    "context": lambda c: open_screen(c(None), {"max_completion_length": 8}),
}


@pytest.mark.parametrize("road", ROADS)
def test_code_of_a_model_does_not_run_unless_asked(planted, ran, tmp_path, road):
    def config(engine):
        if engine is None:
            return training(planted, tmp_path / "out")
        return SamplingConfig(model=str(planted), engine=engine)

    with pytest.raises(ConfigError) as refused:
        ROADS[road](config)
    assert str(refused.value) == f"model '{planted}': {LINE}"
    assert not ran.exists()


def test_code_of_a_processor_does_not_run_and_a_fingerprint_runs_none(wholly_planted, ran):
    config = SamplingConfig(model=str(wholly_planted))
    with pytest.raises(ConfigError, match="then pass --trust-remote-code$"):
        load_chat(config)
    assert len(model_fingerprint(config)) == 32
    assert not ran.exists()


def test_code_of_a_model_runs_where_it_is_asked_for(planted, ran, tmp_path, monkeypatch):
    # The test of the tests above: what is planted would run.
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "m"))
    monkeypatch.syspath_prepend(str(tmp_path / "m"))
    with pytest.raises(ConfigError, match="does not know architecture 'planted'"):
        find_family(SamplingConfig(model=str(planted), trust_remote_code=True))
    assert ran.exists()


@pytest.fixture
def rows(png: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"problem": ["q"], "answer": ["a"], "images": [[png]]}).write_parquet(path)
    return path


COMMANDS = {
    "profile": ["profile", "ROWS", "--engine", "transformers", "--out", "OUT"],
    "spectral": ["profile", "ROWS", "--measures", "spectral", "--out", "OUT"],
    "profile dry-run": ["profile", "ROWS", "--dry-run", "--out", "OUT"],
    "eval": ["eval", "ROWS", "--engine", "transformers"],
    "eval compare": ["eval", "ROWS", "--engine", "transformers", "--compare", "MODEL"],
    "train": ["train", "ROWS", "--table", "RUN", "--out", "OUT"],
    "train dry-run": ["train", "ROWS", "--table", "RUN", "--out", "OUT", "--dry-run"],
}


@pytest.mark.parametrize("harm", ["code", "pickle"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_in_one_line(
    wholly_planted, tiny_policy, rows, ran, tmp_path, command, harm
):
    model, said = wholly_planted, LINE
    if harm == "pickle":
        model, said = pickled(tiny_policy, tmp_path / "pickled", ran), "pickles (pytorch_model.bin)"
    if "RUN" in COMMANDS[command]:
        made = durian("profile", rows, "--measures", "pixel", "--out", tmp_path / "run", "-q")
        assert made == (0, "", "")
    names = {"ROWS": rows, "OUT": tmp_path / "out", "RUN": tmp_path / "run", "MODEL": model}
    args = [names.get(word, word) for word in COMMANDS[command]]
    code, _, line = durian(*args, "--model", model, "--quiet")
    assert (code, line.count("\n")) == (2, 1), line
    assert line.startswith(f"durian: model '{model}': ") and said in line
    assert not ran.exists() and not (tmp_path / "out").exists()


def pickled(source: Path, folder: Path, ran: Path) -> Path:
    """The policy of `source` with its weights as a pickle that would make `ran`."""
    shutil.copytree(source, folder)
    (folder / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Bomb(ran)}, folder / "pytorch_model.bin")
    return folder


def test_a_pickle_that_is_planted_would_make_its_file(ran, tmp_path):
    torch.save(Bomb(ran), tmp_path / "x.bin")
    torch.load(tmp_path / "x.bin", weights_only=False)
    assert ran.exists()


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_safetensors_are_read_and_the_pickle_beside_them_is_not(
    tiny_policy, ran, tmp_path, engine, ask
):
    folder = tmp_path / "both"
    shutil.copytree(tiny_policy, folder)
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt"):
        torch.save(Bomb(ran), folder / name)
    opened = open_engine(SamplingConfig(model=str(folder), engine=engine, max_tokens=4, rollouts=1))
    (drawn,) = draw(opened, [ask("how many?", 0)], greedy=True)
    opened.close()
    assert drawn[0].n_tokens >= 1 and not ran.exists()


def test_an_adapters_pickle_beside_a_whole_model_is_refused(tiny_policy, tmp_path):
    folder = tmp_path / "adapted"
    shutil.copytree(tiny_policy, folder)
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"its weights are pickles \(adapter_model.bin\)"):
        load_chat(SamplingConfig(model=str(folder)))


def test_pickles_are_loaded_where_their_format_is_asked_for(tiny_policy, tmp_path, ran):
    folder = pickled(tiny_policy, tmp_path / "pickled", ran)
    torch.save(load_file(tiny_policy / "model.safetensors"), folder / "pytorch_model.bin")
    asked = SamplingConfig(
        model=str(folder), engine="transformers", engine_args={"use_safetensors": False}
    )
    open_engine(asked).close()


def test_pickles_among_a_shards_members_are_not_read(png, ran, tmp_path):
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        members = {
            "a.png": png, "a.json": b'{"problem": "q", "answer": "a"}',
            "a.pyd": _pickle(ran), "a.pickle": _pickle(ran), "a.pkl": _pickle(ran), "a.pth": b"x",
        }  # fmt: skip
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    (sample,) = open_dataset(DatasetConfig(dataset=str(tmp_path / "shard.tar"))).samples()
    assert (sample.problem, sample.answer, list(sample.columns)) == ("q", "a", [])
    assert not ran.exists()


@pytest.mark.parametrize("name", ["rows.pkl", "rows.npy", "rows.pt"])
def test_a_file_of_pickles_is_no_dataset(ran, tmp_path, name):
    (tmp_path / name).write_bytes(_pickle(ran))
    code, _, line = durian("profile", tmp_path / name, "--measures", "pixel", "--out", "out")
    assert code == 2
    assert "not a kind of file that can be read; pass .parquet, .jsonl" in line
    assert not ran.exists()


def test_yaml_makes_no_objects(rows, ran, tmp_path):
    (tmp_path / "c.yaml").write_text(f'bins: !!python/object/apply:os.mkdir ["{ran}"]\n')
    code, _, line = durian("profile", rows, "--out", "out", "--config", tmp_path / "c.yaml")
    assert code == 2 and "the tag tag:yaml.org,2002:python/object/apply:os.mkdir" in line
    durian("profile", rows, "--measures", "pixel", "--out", tmp_path / "out",
                  "--engine-arg", f'x=!!python/object/apply:os.mkdir ["{ran}"]', "-q")  # fmt: skip
    assert not ran.exists()


def _pickle(ran: Path) -> bytes:
    import pickle

    return pickle.dumps(Bomb(ran))
