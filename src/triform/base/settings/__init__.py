"""Settings: YAML files, flags, commands and their error messages."""
