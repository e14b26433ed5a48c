"""Programs that run a policy, each behind one method."""
