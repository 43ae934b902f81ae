"""Image <-> 3D retrieval: find the part from a picture, and the picture from the part.

triform retrieval train --config tiny
"""
