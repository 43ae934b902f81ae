"""What systems that make shapes share."""
