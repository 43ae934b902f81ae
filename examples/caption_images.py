"""A sentence about each image, by the captioner whose weights ship.

python examples/caption_images.py photos/*.png
"""

import sys

from triform.systems.captioner.config import CaptionConfig
from triform.systems.captioner.system import caption

for row in caption(CaptionConfig(images=tuple(sys.argv[1:]))):
    print(f"{row['image']}: {row['caption']}")
