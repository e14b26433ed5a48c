"""Why a sample is hard: the first cause that applies, by rules over what was measured of it."""
