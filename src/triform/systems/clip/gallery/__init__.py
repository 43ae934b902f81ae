"""Search in folders of photos: an index, queries, duplicates."""
