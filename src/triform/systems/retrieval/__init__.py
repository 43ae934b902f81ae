"""Image <-> 3D retrieval: the part for an image, and the image for a part.

triform retrieval search --gallery LIBRARY --text "a round table"
"""
