"""Statistics of scored completions, each with its interval."""
