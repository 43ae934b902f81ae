"""A worker for the tests of pages and API: it answers as the verbs do, at once, without models."""

import json
import logging
import struct
import time
from pathlib import Path

from PIL import Image

from triform.web.worker import main

logger = logging.getLogger("triform.engine.session")
ESCAPES = "<img src=x onerror=document.title='hacked'><b>bold</b>"


def glb(color):
    """A tetrahedron as a GLB file."""
    points = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    faces = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]
    body = b"".join(struct.pack("<3f", *point) for point in points)
    body += b"".join(struct.pack("<3I", *face) for face in faces)
    tree = {
        "asset": {"version": "2.0"},
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorFactor": [*color, 1]}}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5125, "count": 12, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": 48},
            {"buffer": 0, "byteOffset": 48, "byteLength": 48},
        ],
        "buffers": [{"byteLength": len(body)}],
    }
    head = json.dumps(tree).encode()
    head += b" " * (-len(head) % 4)
    parts = struct.pack("<I4s", len(head), b"JSON") + head
    parts += struct.pack("<I4s", len(body), b"BIN\0") + body
    return struct.pack("<4sII", b"glTF", 2, 12 + len(parts)) + parts


def images(files, settings):
    """An image with its stages for each that is asked for."""
    rows = []
    for index in range(settings["num_images"]):
        row = {"prompt": settings["prompt"][0]}
        row["number"] = f"{settings['like']}/{index}" if settings["like"] else str(index)
        for stage in ("embedding", "latent", "decoder", "image"):
            row[stage] = f"{index}_{stage}.png"
            Image.new("RGB", (48, 48), "red").save(files / row[stage])
        rows.append(row)
    return rows


def execute(job):
    """Answer as the verb would."""
    files, settings = Path(job["folder"]) / "files", job["settings"]
    match job["verb"]:
        case "generate" if "num_images" in settings:
            return {"answer": {"prompts": settings["prompt"], "stages": images(files, settings)}}
        case "generate":
            if "slow" in settings["prompt"]:
                time.sleep(60)
            rows = []
            for index in range(settings["num_samples"]):
                names = [f"{index}.{end}" for end in ("glb", "obj", "stl", "ply", "3mf")]
                for name in names:
                    (files / name).write_bytes(glb((0.8, 0.1, 0.1)))
                shape = {"size_mm": [100, 50, 25], "volume_cm3": 1.5, "watertight": True}
                shape |= {"parts": 1, "faces": 4}
                row = {"prompt": settings["prompt"][0], "seed": settings["seed"] + index}
                rows.append({**row, "files": names, "shape": shape})
            logger.warning("far from every training caption: %s", ESCAPES)
            return {"answer": rows}
        case "index":
            Path(settings["index_file"]).touch()
            return {"answer": {"photos": 2, "added": 2}}
        case "search" if "query" in settings:
            row = {"rank": 1, "similarity": 0.25, "percentile": 99.5, "file": ESCAPES}
            (files / "hit.webp").write_bytes(b"")
            Image.new("RGB", (48, 48), "red").save(files / "hit.webp")
            return {"answer": [{**row, "taken": "2024-05-01T10:00:00", "tile": "hit.webp"}]}
        case "search":
            row = {"query": settings["text"][0], "rank": 1, "similarity": 0.5, "id": ESCAPES}
            return {"answer": [{**row, "caption": ESCAPES, "category": "chair"}]}
        case "classify":
            folders = sorted(path.name for path in Path(settings["examples"]).iterdir())
            return {"answer": [{"image": settings["images"][0], "class": folders[0]}]}
        case "caption":
            name = settings["images"][0]
            return {"answer": [{"image": name, "caption": ESCAPES, "score": -0.5}]}
        case "train":
            run = Path(settings["logging"]["runs_dir"]) / job["system"] / "run_2026-01-31_12-00-00"
            (run / "checkpoints").mkdir(parents=True, exist_ok=True)
            model = json.dumps({"seed": 1, "model": settings["model"]})
            (run / "config.yaml").write_text(model)
            logger.info("run: %s; %s", run, "100 steps")
            try:
                for step in range(1, 600):
                    with (run / "metrics.jsonl").open("a") as file:
                        file.write(json.dumps({"step": step, "train/loss": 1 / step}) + "\n")
                    time.sleep(0.1)
            finally:
                for name in ("best", "last"):
                    (run / "checkpoints" / f"{name}.pth").write_bytes(b"saved")
            return {"answer": {"run": str(run)}}
    return {"answer": {"number": 1.5}}


if __name__ == "__main__":
    main(execute)
