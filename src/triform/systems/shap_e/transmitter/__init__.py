"""Encoder and decoder of Shap-E's latents, in plain PyTorch."""
