"""Gives EasyR1 a worker for a CPU in place of its FSDP and vLLM one, in all of Ray's processes.

This folder is on PYTHONPATH while EasyR1 runs; Python imports this file as it starts. The worker is
only imported when EasyR1 asks for it, since most of Ray's processes never do. vLLM's own rollout is
never used, and stands as a name.
"""

import sys
import types


class _Workers(types.ModuleType):
    def __getattr__(self, name):
        if name == "vLLMRollout":
            return type(name, (), {})
        if name == "FSDPWorker":
            from easyr1_worker import FSDPWorker

            return FSDPWorker
        raise AttributeError(name)


for _name in ("verl.workers.fsdp_workers", "verl.workers.rollout.vllm_rollout_spmd"):
    sys.modules[_name] = _Workers(_name)
