"""The `durian` command: parse, call one function, show."""
