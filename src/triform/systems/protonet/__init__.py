"""Tells new classes apart after a few examples, by prototypes (requirements FEW-2, FEW-3).

triform protonet train --config glyphs
"""
