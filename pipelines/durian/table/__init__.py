"""The difficulty table: the contract between the stages."""
