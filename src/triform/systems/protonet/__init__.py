"""Few-shot classification by prototypical networks.

triform protonet train --config glyphs
"""
