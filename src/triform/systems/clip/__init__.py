"""Contrastive pre-training of images and texts: zero-shot classification and matching.

triform clip classify --images photos/ --classes cat dog car --model ViT-B-32/openai
"""
