"""Weights between Shap-E's own files, diffusers' and ours."""
