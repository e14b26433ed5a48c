"""The doctor tells a sound policy from one that is broken, and by the right line."""

import json
import shutil

import pytest
from transformers import AutoProcessor

from durian.config import SamplingConfig
from durian.doctor import policy
from durian.doctor.policy import examine
from durian.engines import faults
from durian.errors import ConfigError
from tests.cli.in_process import durian
from tests.families import templates

# transformers' own: GLM's processor makes arrays of tensors as NumPy 2 no longer likes it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def examined(folder, engine="transformers"):
    found = examine(SamplingConfig(model=str(folder), engine=engine))
    assert found.wrong == sum(check.verdict == "wrong" for check in found.checks)
    return {check.name: check for check in found.checks}


def verdicts(checks, verdict):
    return {name for name, check in checks.items() if check.verdict == verdict}


@pytest.fixture
def broken(policy_of, tmp_path):
    """A copy of a family's policy, its processor changed on purpose."""

    def get(family, change):
        folder = tmp_path / family
        shutil.copytree(policy_of(family), folder)
        processor = AutoProcessor.from_pretrained(folder)
        change(processor)
        processor.save_pretrained(folder)
        return folder

    return get


@pytest.mark.parametrize(
    ("family", "unsupported"),
    [("gemma3", {"pixel bounds"}), ("glm4v", set())],
)
def test_a_sound_policy_has_nothing_wrong(family, unsupported, policy_of):
    checks = examined(policy_of(family))
    assert verdicts(checks, "wrong") == set()
    assert verdicts(checks, "unsupported") == unsupported
    nats = {name: check.nats for name, check in checks.items() if check.nats is not None}
    assert len(nats) == 4 and all(apart < 1e-4 for apart in nats.values()), nats


def test_the_shipped_policy_that_wants_no_system_prompt_has_nothing_wrong(tiny_policy):
    checks = examined(tiny_policy)
    assert verdicts(checks, "wrong") == set()
    assert "without a system prompt" in checks["system prompt"].said


def test_a_template_that_leaves_out_the_question_is_told(broken):
    def change(processor):
        # Neither as a part nor as a text: there is no form in which it would be read.
        left_out = templates.QWEN3.replace("{{ part.text }}", "")
        processor.chat_template = left_out.replace("{{ message.content }}", "")

    checks = examined(broken("qwen3_vl", change))
    assert {name: check.verdict for name, check in checks.items()} == {
        "model": "ok", "prompt": "wrong",
    }  # fmt: skip
    assert "the policy's chat template leaves out" in checks["prompt"].said


def test_images_of_another_size_than_the_models_are_told(broken):
    def change(processor):
        # 9 tokens an image, where the model makes 4 of it.
        processor.image_seq_length = 9

    checks = examined(broken("gemma3", change))
    assert {"image tokens", "engine"} <= verdicts(checks, "wrong")
    assert "Image features and image tokens do not match" in checks["image tokens"].said
    assert checks["log-probabilities"].said == "the engine drew nothing"


def test_an_architecture_that_no_road_loads_is_one_line(policy_of):
    checks = examined(policy_of("phi4_multimodal"))
    assert list(checks) == ["model"] and checks["model"].verdict == "unsupported"
    assert "no model of image and text for architecture 'phi4_multimodal'" in checks["model"].said


@pytest.mark.parametrize(
    ("family", "said"),
    [("mllama", "vLLM dropped Llama 3.2 Vision"), ("gemma3", "an image of Gemma 3 look back only")],
)
def test_a_policy_that_vllm_reads_wrongly_is_one_line_and_no_engine_is_opened(
    family, said, policy_of, monkeypatch
):
    monkeypatch.setattr(policy, "open_engine", lambda config: pytest.fail("opened"))
    monkeypatch.setattr(faults, "_runs_on_cpu", lambda: True)
    checks = examined(policy_of(family), "vllm")
    assert {name: check.verdict for name, check in checks.items()} == {
        "model": "ok", "engine": "unsupported",
    }  # fmt: skip
    assert said in checks["engine"].said
    assert checks["engine"].said.endswith("pass --engine transformers")


def test_a_model_that_is_not_there_is_the_users_mistake():
    with pytest.raises(ConfigError, match="no such folder"):
        examine(SamplingConfig(model="./nowhere", engine="transformers"))
    code, out, err = durian("doctor", "--model", "./nowhere", "--engine", "transformers")
    assert (code, out) == (2, "") and err.count("\n") == 1 and "no such folder" in err


def test_a_text_that_begins_twice_is_told_and_the_command_ends_with_1(broken):
    def change(processor):
        # Not at the very beginning: transformers does not see it, and begins the text once more.
        processor.chat_template = "{{ '\n' + bos_token }}" + templates.LLAVA

    folder = broken("llava", change)
    code, out, err = durian("doctor", "--model", folder, "--engine", "transformers", "--json")
    assert code == 1 and err != ""  # it says what it is at
    found = json.loads(out)
    assert (found["wrong"], found["engine"]) == (1, "transformers")
    # All else reads it alike: that line alone.
    (wrong,) = [check for check in found["checks"] if check["verdict"] == "wrong"]
    assert wrong["name"] == "beginning"
    assert wrong["said"] == "<s> stands 2 times in the prompt"


def test_the_command_shows_a_line_a_check_of_a_sound_policy(policy_of):
    code, out, err = durian("doctor", "--model", policy_of("qwen3_vl"), "--engine", "transformers")
    assert code == 0
    assert "nothing wrong with" in out.splitlines()[-1]
    assert any(line.split()[:2] == ["log-probabilities", "ok"] for line in out.splitlines())
