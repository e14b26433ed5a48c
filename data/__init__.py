"""Small inputs that ship with Durian, and the commands that remake each (see README.md here)."""
