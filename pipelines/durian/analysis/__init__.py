"""Turn a difficulty table into numbers with intervals. No drawing, no files."""
