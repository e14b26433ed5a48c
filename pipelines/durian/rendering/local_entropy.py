"""Show where an image has detail: the entropy of the gray levels around each pixel, as a picture.

A reader sees at a glance what pixel entropy, one number for the whole image, counts: clutter
everywhere, or one busy corner.
"""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from PIL import Image
from skimage.filters.rank import entropy

RADIUS = 4  # pixels
_Y, _X = np.ogrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
_DISK = (_X**2 + _Y**2 <= RADIUS**2).astype(np.uint8)
MOST = float(np.log2(_DISK.sum()))  # bits; 49 pixels in the disk, all different


def local_entropy_map(image: Image.Image) -> Image.Image:
    """The local entropy of a small image, drawn in cividis from 0 bits (dark blue) to `MOST`.

    Every map has the same scale. The colours are told apart by the colour-blind.

    Args:
        image: any mode; gray is `convert("L")`.
    Source: `skimage.filters.rank.entropy`; J. R. Nunez et al., "Optimizing colormaps with
    consideration for color vision deficiency", 2018.
    """
    bits = entropy(np.array(image.convert("L")), _DISK)  # type: ignore[no-untyped-call]
    return Image.fromarray(colormaps["cividis"](bits / MOST, bytes=True)[..., :3])
