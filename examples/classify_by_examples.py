"""Classes learned from a few images each: one folder of examples per class.

python examples/classify_by_examples.py examples_folder new_images
"""

import sys
from pathlib import Path

from triform.systems.protonet.config import ClassifyConfig
from triform.systems.protonet.system import classify

examples, images = map(Path, sys.argv[1:])
for row in classify(ClassifyConfig(examples=examples, images=(images,))):
    print(f"{row['file']}: {row['class']} ({row['probability']:.0%})")
