"""Learns to learn: weights from which a few steps tell classes apart (requirements FEW-1, FEW-3).

triform maml train --config glyphs
"""
