"""What systems that match images and texts share."""
