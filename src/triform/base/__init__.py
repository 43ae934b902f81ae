"""The ground floor: settings, errors, files, seeds, logs, downloads. Knows nothing above it."""
