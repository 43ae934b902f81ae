"""The words that fit each image best, by a CLIP that was trained here.

python examples/classify_by_words.py RUN drawings/*.png -- "red heart" star house
"""

import sys

from triform.systems.clip.config import ClassifyConfig
from triform.systems.clip.system import classify

run, *words = sys.argv[1:]
images, classes = words[: words.index("--")], words[words.index("--") + 1 :]
settings = {"checkpoint": run, "images": images, "classes": classes, "templates": ("{}",)}
for row in classify(ClassifyConfig.model_validate(settings)):
    print(f"{row['file']}: {row['class']} ({row['probability']:.0%}); {row['others']}")
