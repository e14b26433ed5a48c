"""From runs to another trainer's files: which samples, their rows on the disk, their card."""
