"""What a difficulty table says, as numbers with intervals. No drawing, no files."""
