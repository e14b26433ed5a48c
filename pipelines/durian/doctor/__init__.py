"""`durian doctor`: what is installed, and whether all roads read a policy alike."""
