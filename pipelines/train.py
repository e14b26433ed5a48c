"""STAGE 2: difficulty table -> groups -> rollouts -> normalizer -> policy."""
