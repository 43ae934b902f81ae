"""A shape by a running `triform serve`: start the job, wait, save its GLB.

python examples/use_the_web_api.py http://127.0.0.1:7860 "an office chair" chair.glb

With `--auth` give the client `headers={"Authorization": "Bearer PASSWORD"}`.
"""

import sys
import time
from pathlib import Path

import httpx

server, prompt, target = sys.argv[1:]
api = httpx.Client(base_url=f"{server}/api/")
job = {"system": "voxel_gan", "verb": "generate", "settings": {"prompt": [prompt], "size_mm": 80}}
name = api.post("jobs", json=job).raise_for_status().json()["id"]
while (result := api.get(f"results/{name}").json())["state"] in ("queued", "running"):
    time.sleep(0.2)
file = next(each["name"] for each in result["files"] if each["name"].endswith(".glb"))
Path(target).write_bytes(api.get(f"results/{name}/files/{file}").content)
print(target, result["answer"][0]["shape"])
