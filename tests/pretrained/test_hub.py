"""Models of a hub, against a small hub on this machine that speaks its protocol."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PROGRAM = """
import json, sys
from triform.pretrained.text_encoder import load_text_encoder
try:
    encoder = load_text_encoder(sys.argv[1])
    print(json.dumps([encoder.dim, encoder.encode(["a chair"]).tolist()]))
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


class Hub(BaseHTTPRequestHandler):
    """Gives out the files of one folder as the model `house/tiny`."""

    folder: Path
    asked: list[str]

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        files = sorted(p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*.*"))
        if "house/gated" in path:
            self.reply(403, b"", {"X-Error-Code": "GatedRepo"})
        elif "house/tiny" not in path:
            self.reply(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif path.startswith("/api/models/house/tiny/tree"):
            listed = [
                {"type": "file", "path": f, "size": (self.folder / f).stat().st_size, "oid": f}
                for f in files
            ]
            self.reply(200, json.dumps(listed).encode())
        elif path.startswith("/api/models/house/tiny"):
            siblings = [{"rfilename": file} for file in files]
            about = {"id": "house/tiny", "sha": COMMIT, "siblings": siblings}
            self.reply(200, json.dumps(about).encode())
        else:
            file = self.folder / path.partition(f"/resolve/{COMMIT}/")[2]
            if not file.is_file():
                self.reply(404, b"", {"X-Error-Code": "EntryNotFound"})
                return
            content = file.read_bytes()
            etag = hashlib.sha256(content).hexdigest()
            self.reply(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def model(tmp_path) -> Path:
    """A tiny BERT as it lies on a hub, with a file that nobody should bring."""
    import torch
    import transformers

    folder = tmp_path / "model"
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "chair"]
    vocab = {word: number for number, word in enumerate(words)}
    transformers.BertTokenizer(vocab=vocab).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=7,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    transformers.BertModel(config).save_pretrained(folder)
    (folder / "pytorch_model.bin").write_bytes(b"never asked for")
    (folder / "modeling.py").write_text("raise SystemExit('code of a model was run')")
    return folder


@pytest.fixture
def hub(model) -> Iterator[ThreadingHTTPServer]:
    handler = type("TinyHub", (Hub,), {"folder": model, "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def load(name: str, home: Path, port: int, offline: str = "0") -> subprocess.CompletedProcess[str]:
    settings = {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, name],
        env={**os.environ, **settings, "HF_HUB_OFFLINE": offline, "HF_HUB_DISABLE_XET": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_model_is_brought_once_and_then_found_offline(hub, model, tmp_path):
    from triform.pretrained.text_encoder import load_text_encoder

    first = load("house/tiny", tmp_path / "home", hub.server_port)
    assert first.returncode == 0, first.stderr
    dim, vectors = json.loads(first.stdout.splitlines()[-1])
    assert dim == 8
    np.testing.assert_allclose(
        vectors, load_text_encoder(str(model)).encode(["a chair"]), atol=1e-6
    )
    requested = hub.RequestHandlerClass.asked
    assert not [path for path in requested if path.endswith((".bin", ".py"))]

    hub.shutdown()
    repeated = load("house/tiny", tmp_path / "home", hub.server_port, offline="1")
    assert repeated.returncode == 0 and json.loads(repeated.stdout.splitlines()[-1])[1] == vectors


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("house/none", "the hub has no model of this name"),
        ("house/gated", "its owner wants a login"),
    ],
)
def test_refusals_are_one_line(hub, tmp_path, name, reason):
    answer = load(name, tmp_path / "home", hub.server_port)
    assert answer.returncode == 1
    last = answer.stderr.splitlines()[-1]
    assert last.startswith(f"UserError: text encoder '{name}': {reason}") and "use minilm" in last
