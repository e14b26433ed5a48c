"""vLLM's log-probabilities against a teacher-forced pass of transformers, token by token."""

import os
from itertools import islice
from pathlib import Path
from typing import Any

SAMPLES, ROLLOUTS = 20, 4


def run() -> list[dict[str, Any]]:
    """Largest difference of one token's log-probability, over 80 completions."""
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    import torch
    from transformers import AutoModelForImageTextToText
    from vllm import LLM, SamplingParams

    from durian.config import ProfileConfig
    from durian.engines.chat import load_chat
    from durian.engines.prompts import build_messages
    from durian.measuring.look import look
    from durian.readers.dataset import open_dataset
    from durian.samples import Prompt

    data = Path("data")
    config = ProfileConfig(
        dataset=str(data / "photo_shapes" / "test.parquet"),
        model=str(data / "tiny_policy"),
        out="unused",
    )
    chat = load_chat(config.sampling)
    texts, images = [], []
    for sample in islice(open_dataset(config.source).samples(), SAMPLES):
        seen = look(sample, pixel_limit=config.pixel_limit, keep=True)
        messages = build_messages(sample.problem, 1, system_prompt="", template=None)
        assert isinstance(messages, list)
        prompt = Prompt(sample_id=sample.sample_id, messages=messages, images=seen.images)
        texts.append(chat.render(prompt))
        images.append(list(seen.images))
    llm = LLM(
        model=config.sampling.model,
        dtype="float32",
        enforce_eager=True,
        limit_mm_per_prompt={"video": 0},
        generation_config="vllm",
        logprobs_mode="raw_logprobs",
        seed=0,
    )
    outputs = llm.generate(
        [
            {"prompt": text, "multi_modal_data": {"image": of_it}}
            for text, of_it in zip(texts, images, strict=True)
        ],
        SamplingParams(n=ROLLOUTS, temperature=1.0, max_tokens=64, logprobs=0),
        use_tqdm=False,
    )
    model = AutoModelForImageTextToText.from_pretrained(config.sampling.model, dtype=torch.float32)
    model.eval()
    worst, tokens, completions = 0.0, 0, 0
    for text, of_it, output in zip(texts, images, outputs, strict=True):
        for written in output.outputs:
            ids = list(written.token_ids)
            theirs = [
                step[token].logprob for step, token in zip(written.logprobs, ids, strict=True)
            ]
            given = dict(chat.encode([text], [of_it]))
            n = given["input_ids"].shape[1]
            tail = torch.tensor([ids])
            given["input_ids"] = torch.cat([given["input_ids"], tail], dim=1)
            given["attention_mask"] = torch.ones_like(given["input_ids"])
            if "mm_token_type_ids" in given:
                kinds = given["mm_token_type_ids"]
                given["mm_token_type_ids"] = torch.cat([kinds, kinds.new_zeros(1, len(ids))], dim=1)
            with torch.inference_mode():
                logits = model(**given).logits[0, n - 1 : -1]  # (T, vocabulary)
            ours = logits.log_softmax(-1).gather(1, tail.T).squeeze(1)
            worst = max(worst, float((ours - torch.tensor(theirs)).abs().max()))
            tokens, completions = tokens + len(ids), completions + 1
    return [
        {
            "what": "log-probability of a token, vLLM to transformers: largest difference, nats",
            "value": worst,
            "aim": "<= 1e-3",
            "detail": f"{completions} completions, {tokens} tokens",
        }
    ]
