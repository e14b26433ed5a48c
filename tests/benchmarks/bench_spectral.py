"""Spectral entropy: encoding in batches, and eigenvalues of the smaller Gram against an SVD."""

import io
import time
from pathlib import Path
from typing import Any

import polars as pl
import torch
from PIL import Image

from durian.config import SamplingConfig
from durian.engines.base import PatchEncoder
from durian.engines.loading import open_encoder
from durian.measures.spectral_entropy import spectral_entropy
from tests.benchmarks.timing import interleaved, ratio

IMAGES, ROUNDS = 64, 7
# Patches and width: Qwen2.5-VL's encoder on 448 x 448 pixels, SigLIP's on 384 x 384, and an image
# of more patches than the features are wide.
SHAPES = ((1024, 1280), (729, 1152), (2048, 1024))


def by_svd(features: torch.Tensor) -> float:
    """The same entropy from the singular values of the centred patches, in float64 too."""
    centred = features.double() - features.double().mean(0)
    eigenvalues = torch.linalg.svdvals(centred) ** 2
    return float(torch.special.entr(eigenvalues / eigenvalues.sum()).sum())


def stacked(features: torch.Tensor) -> torch.Tensor:
    """Entropies of several images of one shape, (N, P, d), with one call of eigvalsh."""
    centred = features.double() - features.double().mean(1, keepdim=True)
    wide = centred.shape[1] <= centred.shape[2]
    gram = centred @ centred.mT if wide else centred.mT @ centred
    eigenvalues = torch.linalg.eigvalsh(gram).clamp(min=0)
    return torch.special.entr(eigenvalues / eigenvalues.sum(-1, keepdim=True)).sum(-1)


def run() -> list[dict[str, Any]]:
    """Ratios of speed by this process's own seconds: other processes share the cores."""
    return [_batches(), *_eigenvalues(), _one_call()]


def _batches() -> dict[str, Any]:
    cells = pl.read_parquet("data/photo_shapes/test.parquet")["images"].head(IMAGES)
    images = [Image.open(io.BytesIO(cell[0]["bytes"])).convert("RGB") for cell in cells]
    model = SamplingConfig(model=str(Path("data") / "tiny_policy"))
    encoder: PatchEncoder = open_encoder(model, features="encoder")
    together, alone = list(encoder.encode(images)), [list(encoder.encode([i]))[0] for i in images]
    worst = max(
        abs(spectral_entropy(a) / spectral_entropy(b) - 1)  # type: ignore[arg-type]
        for a, b in zip(together, alone, strict=True)
    )
    assert worst < 1e-5
    seconds = interleaved(
        {
            "batches": lambda: list(encoder.encode(images)),
            "alone": lambda: [list(encoder.encode([image])) for image in images],
        },
        ROUNDS,
        time.process_time,
    )
    return {
        "what": "patch features: speed of batches against one image at a time",
        "value": ratio(seconds["batches"], seconds["alone"]),
        "aim": ">= 1.5",
        "detail": f"{IMAGES} images of 64 x 64, shipped policy; entropies differ by {worst:.0e}",
    }


def _eigenvalues() -> list[dict[str, Any]]:
    rows = []
    for patches, width in SHAPES:
        features = _features(1, patches, width)[0]
        worst = abs(spectral_entropy(features) - by_svd(features))
        assert worst < 1e-11
        seconds = interleaved(
            {"ours": lambda f=features: spectral_entropy(f), "svd": lambda f=features: by_svd(f)},
            3,
            time.process_time,
        )
        rows.append(
            {
                "what": f"spectral entropy of {patches} x {width}: speed against SVD",
                "value": ratio(seconds["ours"], seconds["svd"]),
                "aim": ">= 2",
                "detail": f"{min(seconds['ours']):.3f} s an image; results differ by {worst:.0e}",
            }
        )
    return rows


def _one_call() -> dict[str, Any]:
    features = _features(8, 256, 1280)
    seconds = interleaved(
        {
            "stacked": lambda: stacked(features),
            "ours": lambda: [spectral_entropy(image) for image in features],
        },
        ROUNDS,
        time.process_time,
    )
    return {
        "what": "spectral entropy: speed of one eigvalsh for 8 images against ours",
        "value": ratio(seconds["stacked"], seconds["ours"]),
        "aim": "-",
        "detail": "256 x 1280; why there is no stacked form",
    }


def _features(images: int, patches: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(images, patches, width, generator=generator)
    return rows * torch.logspace(0, -3, width)  # a spectrum that falls, as real ones do
