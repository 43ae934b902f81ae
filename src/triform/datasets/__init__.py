"""Sources of data: one file per source, each giving raw samples with their captions and licence."""
