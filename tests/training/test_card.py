"""The model card: what it says, and that no name in it is more than text."""

from dataclasses import fields

import yaml
from markdown_it import MarkdownIt

from durian.records import from_json
from durian.training.card import model_card
from durian.training.manifest import TrainingManifest
from durian.training.plan import BatchPlan

MANIFEST = {
    "durian": "0.1.0",
    "created": "2026-02-03T04:05:06+00:00",
    "dataset": {"name": "geometry3k", "split": "train"},
    "table": {"run": "runs/a", "model": "Qwen/Qwen2.5-VL-7B-Instruct"},
    "model": "Qwen/Qwen2.5-VL-7B-Instruct",
    "config": {
        "lora_r": None, "normalizer": "durian", "weights": [0.4, 0.3, 0.3], "groups": "offline",
    },
    "counts": {"rows": 30, "samples": 24, "left_out": {"no image": 6}},
    "result": {
        "logged_steps": 12, "averaged_steps": 5, "reward_first": 0.25, "reward_last": 0.5,
    },
    "versions": {"torch": "2.13.0", "trl": "1.16.0"},
    "seconds": {"in all": 9.0},
    "plan": {**dict.fromkeys((f.name for f in fields(BatchPlan)), 1), "warnings": []},
}  # fmt: skip


def card(manifest):
    return model_card(from_json(TrainingManifest, manifest))


def read(card: str) -> tuple[dict[str, object], str]:
    """The card's header, and its page as HTML: tables and bare links as on GitHub and the Hub."""
    _, header, body = card.split("---\n", 2)
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(body)
    return yaml.safe_load(header), page


def test_the_card_says_what_the_training_was():
    header, page = read(card(MANIFEST))
    assert header["base_model"] == "Qwen/Qwen2.5-VL-7B-Instruct"
    assert header["library_name"] == "transformers" and "grpo" in header["tags"]
    for said in (
        "<td>Qwen/Qwen2.5-VL-7B-Instruct</td>",
        "<td>geometry3k, split train</td>",
        "<td>24 of 30 rows; 6 x no image</td>",
        "<td>runs/a, measured with Qwen/Qwen2.5-VL-7B-Instruct</td>",
        "<td>durian, weights 0.4, 0.3, 0.3 (own, perceptual, reasoning), groups offline</td>",
        "<td>0.250 over the first 5 logged steps, 0.500 over the last</td>",
        "torch 2.13.0, trl 1.16.0",
    ):
        assert said in page, said
    assert "None" not in page


def accuracy(value, low=None, high=None):
    return {"accuracy": value, "low": low, "high": high, "n": 600, "interval": "wilson"}


VALIDATION = {
    "dataset": "geometry3k", "split": "validation", "validations": 6, "seconds": 60.0,
    "first": accuracy(0.25, 0.2, 0.3), "last": accuracy(0.5, 0.45, 0.55),
    "best": {"metric": "greedy", "step": 40, "accuracy": accuracy(0.625, 0.6, 0.65),
             "weights": "best-40"},
}  # fmt: skip


def test_the_card_says_what_the_best_policy_is_and_how_to_read_its_accuracy():
    _, page = read(card(MANIFEST | {"validation": VALIDATION}))
    for said in (
        "<td>geometry3k, split validation: greedy 25.0 % (95 % interval 20.0 to 30.0) before the "
        "first step, 50.0 % (45.0 to 55.0) after the last</td>",
        "<td>step 40, greedy 62.5 % (60.0 to 65.0), in best-40; the highest of 6 validations, so "
        "expect less of it on other samples</td>",
    ):
        assert said in page, page
    best = VALIDATION["best"] | {"weights": "."}
    _, page = read(card(MANIFEST | {"validation": VALIDATION | {"best": best, "stopped": 60}}))
    assert "(45.0 to 55.0) after the last, where patience ran out at step 60</td>" in page
    assert "in this folder; the highest" in page


def test_an_adapter_of_a_local_folder_names_no_model_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my" / "policy").mkdir(parents=True)
    config = MANIFEST["config"] | {"lora_r": 8, "normalizer": "grpo"}
    header, page = read(card(MANIFEST | {"model": "my/policy", "config": config}))
    assert "base_model" not in header and header["library_name"] == "peft"
    assert "<h1>policy, trained by GRPO" in page and "<td>LoRA of rank 8</td>" in page
    assert "<td>grpo, groups offline</td>" in page


def test_names_are_text_and_nothing_else():
    hostile = (
        "a|b\n---\nlicense: mit\n# head <script>alert(1)</script> ![x](http://e.vil/i.png) [y](z)"
        " `c` *d* _e_ www.e.vil http://e.vil a@e.vil &amp; \\| \u202e \x1b[31m"
    )
    manifest = MANIFEST | {
        "model": hostile,
        "dataset": {"name": hostile, "split": hostile},
        "table": {"run": hostile, "model": hostile},
        "validation": VALIDATION | {"dataset": hostile},
    }
    header, page = read(card(manifest))
    assert header.keys() == {"library_name", "pipeline_tag", "tags"}
    assert page.count("<a ") == 1 and "<script" not in page and "<img" not in page  # our own link
    assert page.count("<tr>") == read(card(MANIFEST))[1].count("<tr>") + 2  # of the validation
    assert page.count("<h1>") == 1 and page.count("<h2>") == 1
    shown = hostile.replace("\n", " ").replace("&", "&amp;").replace("<", "&lt;")
    shown = shown.replace(">", "&gt;").replace('"', "&quot;")
    shown = shown.replace("\u202e", r"\u202e").replace("\x1b", r"\x1b")
    assert f"<td>{shown}</td>" in page
    # Bare addresses become links on GitHub, unless their dot and colon are escaped.
    body = card(manifest)
    assert "www\\.e" in body and "http\\://" in body and "a\\@e" in body
