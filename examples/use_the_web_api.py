"""A shape by a running `triform serve`: start the job, wait, save its GLB.

python examples/use_the_web_api.py http://127.0.0.1:7860 "an office chair" chair.glb
"""

import json
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

server, prompt, target, *password = sys.argv[1:]
headers = {"Content-Type": "application/json"}
if password:  # of the file of --auth
    headers["Authorization"] = f"Bearer {password[0]}"


def ask(path, content=None):
    body = None if content is None else json.dumps(content).encode()
    with urlopen(Request(f"{server}/api/{path}", body, headers)) as answer:
        return answer.read()


job = {"system": "voxel_gan", "verb": "generate", "settings": {"prompt": [prompt], "size_mm": 80}}
result = json.loads(ask("jobs", job))
while result["state"] in ("queued", "running"):
    time.sleep(0.2)
    result = json.loads(ask(f"results/{result['id']}"))
if result["state"] != "done":
    sys.exit(result["error"] or result["state"])
name = next(file["name"] for file in result["files"] if file["name"].endswith(".glb"))
Path(target).write_bytes(ask(f"results/{result['id']}/files/{name}"))
print(target, result["answer"][0]["shape"])
