"""The words that fit each image best, in any of 16 languages, by the CLIP whose weights ship.

python examples/classify_by_words.py drawings dog кошка Auto
"""

import sys

from triform.systems.clip.config import ClassifyConfig
from triform.systems.clip.system import classify

images, *classes = sys.argv[1:]
for row in classify(ClassifyConfig(images=(images,), classes=tuple(classes), templates=("{}",))):
    print(f"{row['file']}: {row['class']} ({row['probability']:.0%}); {row['others']}")
