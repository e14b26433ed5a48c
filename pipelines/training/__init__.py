"""The GRPO loop around the normalizer, built on TRL's trainer."""
