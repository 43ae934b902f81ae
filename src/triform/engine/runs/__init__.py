"""Run directories: files, metrics, and the command `triform runs`."""
