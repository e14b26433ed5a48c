"""`durian doctor`."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import typer

from durian.config import DoctorConfig, ShownConfig
from durian.engines.loading import check_engine
from durian_cli.display import progress_for, show_checks, show_installation
from durian_cli.options import command, show_result

if TYPE_CHECKING:
    from durian.doctor.policy import Examined


@command(DoctorConfig)
def doctor(config: DoctorConfig, shown: ShownConfig) -> None:
    """Tell what is installed and works here; of a policy, whether all roads read it alike.

    Example: durian doctor --model data/tiny_policy --engine transformers
    """
    if config.model is None:
        from durian.doctor.installation import look_at_installation

        show_result(look_at_installation(), show_installation, shown)
        return
    engine = config.engine or ("vllm" if find_spec("vllm") else "transformers")
    sampling = config.sampling(engine)
    check_engine(sampling)
    from durian.doctor.policy import examine

    with progress_for(quiet=shown.quiet) as progress:
        examined: Examined = examine(sampling, say=progress.note)
    show_result(examined, show_checks, shown)
    if examined.wrong:
        raise typer.Exit(1)
