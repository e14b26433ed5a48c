"""Programs that run a policy, each behind the two methods of `base.RolloutEngine`."""
