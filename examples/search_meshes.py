"""The meshes of a folder that a sentence describes best.

python examples/search_meshes.py path/to/meshes "a round table"
"""

import sys

from triform.systems.retrieval.system import search
from triform.systems.retrieval.verb_config import SearchConfig

folder, text = sys.argv[1:]
for hit in search(SearchConfig(gallery=(folder,), text=(text,), top_k=3)):
    print(hit["rank"], hit["id"], f"{hit['similarity']:.3f}")
