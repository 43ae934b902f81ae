"""Few-shot classification by model-agnostic meta-learning.

triform maml train --config glyphs
"""
