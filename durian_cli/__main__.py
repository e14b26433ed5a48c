"""`python -m durian_cli` is `durian`."""

from durian_cli.app import main

main()
