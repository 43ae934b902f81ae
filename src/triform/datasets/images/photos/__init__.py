"""Photo collections as they lie on disks: what is there, what has changed, what is in a file."""
