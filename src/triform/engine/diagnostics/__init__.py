"""What works on this machine: `triform doctor` and its checks."""
