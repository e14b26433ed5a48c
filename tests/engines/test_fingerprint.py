import re

import pytest

from durian.config import SamplingConfig
from durian.engines.fingerprint import BLOCK, WHOLE, model_fingerprint
from durian.errors import ConfigError


def fingerprint(path, engine="transformers"):
    return model_fingerprint(SamplingConfig(model=str(path), engine=engine))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(bytes(WHOLE + 1000))
    return path


def test_a_folder_keeps_its_fingerprint_when_it_moves(folder, tmp_path):
    before = fingerprint(folder)
    assert re.fullmatch("[0-9a-f]{32}", before)
    assert fingerprint(folder.rename(tmp_path / "elsewhere")) == before


def test_any_byte_of_a_small_file_its_name_or_a_new_file_changes_it(folder):
    seen = {fingerprint(folder)}
    (folder / "config.json").write_text("[]")
    seen.add(fingerprint(folder))
    (folder / "config.json").write_text("{}")
    (folder / "a.json").write_text("")
    seen.add(fingerprint(folder))
    (folder / "a.json").rename(folder / "b.json")
    seen.add(fingerprint(folder))
    assert len(seen) == 4


@pytest.mark.parametrize("at", [0, BLOCK - 1, WHOLE + 999])
def test_the_ends_of_a_large_file_and_its_size_change_it(folder, at):
    before = fingerprint(folder)
    with (folder / "model.safetensors").open("r+b") as weights:
        weights.seek(at)
        weights.write(b"\1")
    changed = fingerprint(folder)
    with (folder / "model.safetensors").open("ab") as weights:
        weights.write(b"\0")
    assert len({before, changed, fingerprint(folder)}) == 3


def test_hidden_files_and_checkpoints_below_do_not_count(folder):
    before = fingerprint(folder)
    (folder / ".cache").write_text("x")
    (folder / "checkpoint-10").mkdir()
    (folder / "checkpoint-10" / "model.safetensors").write_text("x")
    assert fingerprint(folder) == before


def test_a_scripted_table_is_known_by_its_content(tmp_path):
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    one.write_bytes(b"rows")
    two.write_bytes(b"rows")
    assert fingerprint(one, "scripted") == fingerprint(two, "scripted")
    two.write_bytes(b"more")
    assert fingerprint(one, "scripted") != fingerprint(two, "scripted")


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="nowhere': no such folder"):
        fingerprint(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="a model': no such folder, and the hub does not give it"):
        fingerprint("a model")
    with pytest.raises(ConfigError, match="none.parquet': No such file"):
        fingerprint(tmp_path / "none.parquet", "scripted")
