"""`make bench`: every benchmark, as a table, mostly of ratios; the last line is one JSON object."""

import json
import sys

from tests.benchmarks import (
    bench_causes,
    bench_coverage,
    bench_duplicates,
    bench_estimates,
    bench_export,
    bench_grading,
    bench_groups_join,
    bench_logprobs,
    bench_measures,
    bench_memory,
    bench_million,
    bench_normalizer,
    bench_page,
    bench_pixel_entropy,
    bench_pixel_road,
    bench_preparing,
    bench_ray,
    bench_repeatable,
    bench_sampling,
    bench_served,
    bench_shrink,
    bench_spectral,
    bench_statistics,
    bench_stream,
    bench_training_step,
    bench_view,
)

BENCHES = {
    "causes": bench_causes.run,
    "coverage": bench_coverage.run,
    "duplicates": bench_duplicates.run,
    "estimates": bench_estimates.run,
    "export": bench_export.run,
    "grading": bench_grading.run,
    "memory": bench_memory.run,
    "million": bench_million.run,
    "pixel_entropy": bench_pixel_entropy.run,
    "pixel_road": bench_pixel_road.run,
    "preparing": bench_preparing.run,
    "ray": bench_ray.run,
    "repeatable": bench_repeatable.run,
    "sampling": bench_sampling.run,
    "served": bench_served.run,
    "shrink": bench_shrink.run,
    "spectral": bench_spectral.run,
    "statistics": bench_statistics.run,
    "stream": bench_stream.run,
    "training_step": bench_training_step.run,
    "groups_join": bench_groups_join.run,
    "logprobs": bench_logprobs.run,
    "measures": bench_measures.run,
    "normalizer": bench_normalizer.run,
    "page": bench_page.run,
    "view": bench_view.run,
}


def main() -> None:
    """Run those named on the command line, or all."""
    chosen = sys.argv[1:] or list(BENCHES)
    rows = [row for name in chosen for row in BENCHES[name]()]
    wide = max(len(row["what"]) for row in rows)
    for row in rows:
        print(f"{row['what']:<{wide}}  {row['value']:9.3g}  (aim {row['aim']})  {row['detail']}")
    print(json.dumps({row["what"]: float(f"{row['value']:.4g}") for row in rows}))


main()
