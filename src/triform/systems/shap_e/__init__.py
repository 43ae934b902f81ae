"""Text or image to 3D shape by diffusion over Shap-E's latents: encoding, fine-tuning, generation.

triform shap_e train --data_dir library --model_type text300M
"""
