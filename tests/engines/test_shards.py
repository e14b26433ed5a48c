"""A folder of a trainer's shards given as the model is told with the command that merges it."""

import pytest

from durian.engines.chat import check_model_exists
from durian.errors import ConfigError


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["model_world_size_2_rank_0.pt", "fsdp_config.json"],
         "python -m verl.model_merger merge --backend fsdp --local_dir {0} --target_dir "
         "{0}/merged"),
        (["actor/model_world_size_2_rank_0.pt", "actor/fsdp_config.json"],
         "python -m verl.model_merger merge --backend fsdp --local_dir {0}/actor --target_dir "
         "{0}/actor/merged"),
        (["model_world_size_2_rank_0.pt", "huggingface/config.json"],
         "python scripts/model_merger.py --local_dir {0} (EasyR1's)"),
        (["pytorch_model_fsdp_0/__0_0.distcp", "config.json"],
         "accelerate merge-weights {0}/pytorch_model_fsdp_0 {0}/merged"),
    ],
)  # fmt: skip
def test_shards_are_told_with_their_trainers_merge_command(tmp_path, files, said):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(ConfigError) as refused:
        check_model_exists(str(tmp_path))
    assert str(refused.value) == (
        f"model '{tmp_path}': a trainer's shards; merge them first: {said.format(tmp_path)}"
    )
