"""Other people's weights behind small interfaces of ours, and the weights that we ship."""
