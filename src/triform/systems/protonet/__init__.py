"""Tells new classes apart after a few examples, by prototypes (requirements FEW-2, FEW-3).

triform protonet classify --examples my_examples --pictures unknown.png
"""
