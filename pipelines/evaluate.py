"""`durian eval`: how often a policy is right, with intervals, overall and by difficulty group."""
