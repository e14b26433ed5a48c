"""The GRPO loop around the normalizer, built on TRL's trainer."""

import warnings

from durian.errors import require

require("training", "torch", "transformers", "accelerate", "peft", "trl")

# Said at import wherever vLLM's CPU build is installed; there TRL draws with transformers.
warnings.filterwarnings("ignore", message="TRL currently supports vLLM versions", module="trl")
