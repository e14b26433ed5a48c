"""`python -m tests.families [FAMILY ...] [--roads transformers,vllm,train,beside]`: the matrix.

Takes every family through every road, keeps what is found in matrix.json beside this file, and
writes docs/families.md. A family takes half a minute, and on vLLM as long again.
"""

import argparse
import json
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from durian.config import SamplingConfig
from durian.doctor.policy import Examined, examine
from durian.engines.chat import load_chat
from durian.engines.faults import known_fault
from durian.errors import EXTRAS, InputError, one_line
from durian.training.prompts import check_trainable
from tests.families.matrix import PAGE, RECORD, page
from tests.families.policies import POLICIES, save_policy

ROADS = ("transformers", "vllm", "train", "beside")


def checks_of(examined: Examined, folder: Path) -> dict[str, Any]:
    """The doctor's lines by name, without the folder of this very run."""
    return {
        check.name: {
            "verdict": check.verdict,
            "said": "" if check.verdict == "ok" else check.said.replace(str(folder), "M"),
            "nats": None if check.nats is None else float(f"{check.nats:.0e}"),
        }
        for check in examined.checks
    }


def _failed(error: Exception, policy: Path) -> dict[str, Any]:
    refused = isinstance(error, InputError)
    said = one_line(error).replace(str(policy), "M")
    return {"verdict": "no" if refused else "**wrong**", "said": said}


def _read_beside(policy: Path) -> dict[str, Any]:
    from tests.families.beside import PROMPTS, read_beside

    try:
        chat = load_chat(SamplingConfig(model=str(policy), engine="transformers"))
        check_trainable(chat, "M", PROMPTS[0][0]["content"][0]["image"])
        two = known_fault("vllm", chat.processor, 2, on_cpu=False)
        read_beside(policy, chat, PROMPTS if two is None else PROMPTS[:1])
        return {"verdict": "ok"}
    except Exception as error:
        return _failed(error, policy)


def _trained(policy: Path, folder: Path) -> dict[str, Any]:
    from tests.families.trained import evaluated, profiled, train_two_steps

    found: dict[str, Any] = {}

    try:
        profiled(policy, folder)
        evaluated(policy, folder)
        found["eval"] = {"verdict": "ok"}
    except Exception as error:
        found["eval"] = _failed(error, policy)
    try:
        trained = train_two_steps(policy, folder)
        found["train"] = {"verdict": "ok", "nats": float(f"{trained.largest:.0e}")}
        if trained.other_tokens or trained.largest > 1e-3:
            said = (
                f"the prompts of {trained.other_tokens} of {trained.completions} completions are "
                f"of other tokens; at most {trained.largest:.1g} nats apart"
            )
            found["train"] |= {"verdict": "**wrong**", "said": said}
    except Exception as error:
        found["train"] = _failed(error, policy)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", default=list(POLICIES))
    parser.add_argument("--roads", default=",".join(ROADS))
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # what the libraries say to each other
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for family in given.families:
        needs = POLICIES[family].needs
        if needs and find_spec(needs) is None:
            record[family] = {"transformers": {"model": {
                "verdict": "unsupported", "nats": None,
                "said": f"its processor needs {needs}, of the extra {EXTRAS[needs]}; "
                "it was not installed here",
            }}}  # fmt: skip
            continue
        tried = record.setdefault(family, {})
        with tempfile.TemporaryDirectory() as name:
            folder = save_policy(family, Path(name) / family)
            for engine in given.roads.split(","):
                if engine == "beside":
                    tried[engine] = _read_beside(folder)
                elif engine == "train":
                    work = Path(name) / "work"
                    work.mkdir()
                    tried |= _trained(folder, work)
                else:
                    config = SamplingConfig(model=str(folder), engine=engine)
                    tried[engine] = checks_of(examine(config), folder)
                RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
                print(family, engine, "done", flush=True)
    PAGE.write_text(page(record))


if __name__ == "__main__":
    main()
