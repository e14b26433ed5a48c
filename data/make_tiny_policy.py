"""Teach the tiny policy from scratch: SFT on fresh lessons, then on answers made wrong at random.

    python -m data.make_tiny_policy --out data/tiny_policy

The second stretch makes it like a base language model, which knows more than it says: the right
answer stays its likeliest one, but sampled answers are wrong at a rate that depends on the kind of
question. That is the planted reasoning difficulty.

Steps, not minutes, set the schedule, and one thread does the sums: on one machine with one set of
library versions, the same seed gives the same policy.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from data.tiny_lessons import Batch, LessonBatches, Lessons, corpus
from data.tiny_model import build_model, build_processor
from data.tiny_tokenizer import train_tokenizer

STEPS, NOISE_STEPS = 2300, 350
NOISE = {"shape": 0.35, "colour": 0.35, "yes_no": 0.20, "count": 0.45, "position": 0.45}


@dataclass(frozen=True)
class Pace:
    """The optimizer's settings over one stretch."""

    peak: float  # learning rate; it falls to a hundredth of this along a half cosine
    warmup: int  # steps


def sequence_loss(model: Qwen2_5_VLForConditionalGeneration, batch: Batch) -> Tensor:
    """Mean cross-entropy of the completions' tokens; each block stands alone after its image."""
    inner = model.model
    seen = inner.get_image_features(batch.pixel_values, batch.image_grid_thw).pooler_output
    embeds = inner.get_input_embeddings()(batch.input_ids)  # (B, length, width)
    is_image = batch.input_ids == model.config.image_token_id
    embeds = embeds.masked_scatter(is_image.unsqueeze(-1), torch.cat(seen).to(embeds.dtype))
    hidden = inner.language_model(
        inputs_embeds=embeds,
        attention_mask=_sight(batch.blocks),
        position_ids=_positions(model, batch),
        use_cache=False,
    ).last_hidden_state
    targets = batch.labels[:, 1:]
    taught = targets != -100
    logits = model.lm_head(hidden[:, :-1][taught])
    return nn.functional.cross_entropy(logits, targets[taught])


def _sight(blocks: Tensor) -> Tensor:
    """Which token sees which, (B, 1, length, length): the past of its own block, and the image."""
    own = blocks[:, :, None] == blocks[:, None, :]
    image = (blocks == 0)[:, None, :]
    return ((own | image) & torch.ones_like(own).tril())[:, None]


def _positions(model: Qwen2_5_VLForConditionalGeneration, batch: Batch) -> Tensor:
    """M-RoPE positions, (3, B, length): every block begins where the image's part ends."""
    head = int((batch.blocks[0] == 0).sum())
    is_image = batch.input_ids[:1] == model.config.image_token_id
    shared, _ = model.model.get_rope_index(
        batch.input_ids[:1, :head], is_image[:, :head].int(), batch.image_grid_thw[:1]
    )  # (3, 1, head); every image has one size, so this serves every row
    steps = torch.arange(batch.input_ids.shape[1])
    fresh = torch.ones_like(batch.blocks, dtype=torch.bool)
    fresh[:, 1:] = batch.blocks[:, 1:] != batch.blocks[:, :-1]
    begins = torch.where(fresh, steps, 0).cummax(dim=1).values  # where each token's block begins
    positions = (steps - begins + shared.max() + 1).expand(3, -1, -1).clone()
    positions[:, :, :head] = shared
    return positions


def teach(
    model: Qwen2_5_VLForConditionalGeneration,
    processor: Qwen2_5_VLProcessor,
    lessons: Lessons,
    pace: Pace,
    workers: int,
    keep: Path | None = None,
) -> None:
    """Run `lessons.steps` steps of AdamW on `model`, in place; save it to `keep` now and then."""
    loader = DataLoader(
        LessonBatches(processor, lessons), batch_size=None, num_workers=workers, shuffle=False
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=pace.peak, betas=(0.9, 0.98))
    model.train()
    begun, losses = time.monotonic(), []
    for step, batch in enumerate(loader):
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(pace, step, lessons.steps)
        loss = sequence_loss(model, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % 50 == 0 or step + 1 == lessons.steps:
            mean, seconds = sum(losses) / len(losses), time.monotonic() - begun
            print(f"step {step + 1}/{lessons.steps}  loss {mean:.3f}  {seconds:.0f} s", flush=True)
            losses.clear()
        if keep is not None and (step + 1) % 250 == 0:
            save(model, processor, keep)
    model.eval()


def _learning_rate(pace: Pace, step: int, steps: int) -> float:
    warm = min(1.0, (step + 1) / pace.warmup)
    fall = 0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2
    return pace.peak * warm * fall


def save(
    model: Qwen2_5_VLForConditionalGeneration, processor: Qwen2_5_VLProcessor, out: Path
) -> None:
    """Write all that `from_pretrained` and vLLM read."""
    out.mkdir(parents=True, exist_ok=True)
    processor.save_pretrained(out)
    model.save_pretrained(out)


def main(argv: list[str] | None = None) -> None:
    """Parse the command line, teach, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the policy")
    parser.add_argument("--steps", type=int, default=STEPS, help="with right answers")
    parser.add_argument("--noise-steps", type=int, default=NOISE_STEPS, help="with noisy answers")
    parser.add_argument("--images", type=int, default=Lessons.images, help="in a batch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes that draw lessons")
    parser.add_argument("--clean-out", type=Path, help="also keep the policy before noise, here")
    parser.add_argument("--clean", type=Path, help="begin the noisy stretch from a policy kept so")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)

    if args.clean is not None:
        processor = AutoProcessor.from_pretrained(args.clean)
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(args.clean)
    else:
        processor = build_processor(train_tokenizer(corpus()))
        model = build_model(processor.tokenizer, args.seed)
        lessons = Lessons(steps=args.steps, images=args.images, seed=2 * args.seed)
        teach(model, processor, lessons, Pace(peak=2e-3, warmup=100), args.workers, args.clean_out)
        if args.clean_out is not None:
            save(model, processor, args.clean_out)
    noisy = Lessons(
        steps=args.noise_steps,
        images=args.images,
        seed=2 * args.seed + 1,
        clean_until=0.0,
        full_at=0.0,
        noise=NOISE,
    )
    teach(model, processor, noisy, Pace(peak=7e-4, warmup=20), args.workers)
    save(model, processor, args.out)
    print(f"{args.out}: {sum(p.numel() for p in model.parameters()):,} parameters")


if __name__ == "__main__":
    main()
