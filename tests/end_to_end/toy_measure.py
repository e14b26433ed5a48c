"""A measure in one file of its own: how bright a sample's images are, as a number and a word."""

from durian.measures import Column, ImageMeasure


def brightness(images):
    """Mean gray level of the images, each counting alike."""
    means = [
        sum(level * int(count) for level, count in enumerate(image.gray_histogram))
        / (image.width * image.height)
        for image in images
    ]
    mean = sum(means) / len(means)
    return {"brightness": mean, "tone": "bright" if mean >= 128 else "dark"}


TOY = ImageMeasure(
    name="toy",
    help="how bright the images are",
    take=brightness,
    columns=(
        Column(
            name="brightness", unit="levels", meaning="mean gray level", harder="lower",
            words="toy brightness", card="brightness",
        ),
        Column(name="tone", type="string", meaning="bright or dark", card="tone"),
    ),
)  # fmt: skip
