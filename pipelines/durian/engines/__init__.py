"""Programs that run a policy, each behind the one method of `protocol.RolloutEngine`."""
