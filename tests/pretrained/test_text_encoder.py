"""Text encoders by name, and the table of embeddings on disk."""

import json
import os
import socket
import subprocess
import sys
import time
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import pytest

from triform.base.errors import UserError
from triform.pretrained.text_encoder import embed_texts, load_text_encoder


class Counting:
    """An encoder that counts what it was asked."""

    name, dim, fingerprint = "toy/encoder", 3, "toy-1"

    def __init__(self):
        self.asked = []

    def encode(self, texts):
        self.asked.extend(texts)
        return np.array([[len(text), text.count("a"), 1] for text in texts], dtype=np.float32)


def test_distinct_texts_are_encoded_once_and_kept(tmp_path):
    encoder = Counting()
    texts = ["chair", "table", "chair", "", "стол"]
    first = embed_texts(encoder, texts, tmp_path)
    assert encoder.asked == ["chair", "table", "", "стол"]
    np.testing.assert_array_equal(first, Counting().encode(texts))

    repeated = Counting()
    np.testing.assert_array_equal(embed_texts(repeated, ["стол", "lamp"], tmp_path)[0], first[4])
    assert repeated.asked == ["lamp"]
    third = Counting()
    embed_texts(third, [*texts, "lamp"], tmp_path)
    assert third.asked == []
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


def test_without_cache_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert embed_texts(Counting(), ["chair"]).shape == (1, 3)
    assert embed_texts(Counting(), []).shape == (0, 3)
    assert list(tmp_path.iterdir()) == []


def test_another_encoders_file_is_written_anew(tmp_path):
    path = tmp_path / "texts.safetensors"
    embed_texts(Counting(), ["chair"], path)
    other = Counting()
    other.fingerprint = "toy-2"
    embed_texts(other, ["chair"], path)
    assert other.asked == ["chair"]
    embed_texts(other, ["chair"], path)
    assert other.asked == ["chair"]


@pytest.mark.parametrize("damage", ["empty", "truncated", "noise", "wrong_dim"])
def test_broken_file_is_written_anew(tmp_path, damage):
    path = tmp_path / "texts.safetensors"
    embed_texts(Counting(), ["chair", "table"], path)
    whole = path.read_bytes()
    if damage == "wrong_dim":
        wide = Counting()
        wide.dim, wide.encode = 5, lambda texts: np.ones((len(texts), 5), np.float32)
        embed_texts(wide, ["chair"], path)
        path.write_bytes(whole.replace(b"toy-1", b"toy-2"))
        encoder = Counting()
        encoder.fingerprint, encoder.dim = "toy-2", 5
        encoder.encode = wide.encode
        assert embed_texts(encoder, ["chair"], path).shape == (1, 5)
        return
    path.write_bytes({"empty": b"", "truncated": whole[:-7], "noise": os.urandom(64)}[damage])
    encoder = Counting()
    embed_texts(encoder, ["chair"], path)
    assert encoder.asked == ["chair"]
    embed_texts(encoder, ["chair"], path)
    assert encoder.asked == ["chair"]


def test_two_writers_keep_both(tmp_path):
    path = tmp_path / "texts.safetensors"
    with ThreadPool(8) as pool:
        pool.map(lambda n: embed_texts(Counting(), [f"text {n}", "shared"], path), range(24))
    late = Counting()
    embed_texts(late, [f"text {n}" for n in range(24)], path)
    assert late.asked == []


def test_minilm_by_name():
    encoder = load_text_encoder("minilm")
    assert (encoder.name, encoder.dim) == ("minilm", 384)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./no/such/folder", "there is no such folder"),
        ("some/deep/path", "there is no such folder"),
        ("not a name!", "this is no name that a hub could have"),
        ("organisation/model", "HF_HUB_OFFLINE is set: use minilm"),
    ],
)
def test_wrong_names_are_one_line(name, message):
    with pytest.raises(UserError, match=message) as caught:
        load_text_encoder(name)
    assert "\n" not in str(caught.value)


def test_folder_without_a_model(tmp_path):
    (tmp_path / "readme.txt").write_text("nothing")
    with pytest.raises(UserError, match=r"neither open_clip_config\.json nor config\.json"):
        load_text_encoder(str(tmp_path))


@pytest.mark.parametrize("hub", ["refuses", "is silent"])
def test_unreachable_hub_is_one_line_soon(hub, tmp_path):
    """A hub that is not there, and one that takes the connection and says nothing."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        if hub == "is silent":
            silent.listen(8)
        program = (
            "import sys; from triform.pretrained.text_encoder import load_text_encoder\n"
            "try: load_text_encoder('organisation/model')\n"
            "except Exception as error: sys.exit(type(error).__name__ + ': ' + str(error))"
        )
        started = time.monotonic()
        answer = subprocess.run(
            [sys.executable, "-c", program],
            env={
                **os.environ,
                "HF_HUB_OFFLINE": "0",
                "HF_HOME": str(tmp_path),
                "HF_ENDPOINT": f"http://127.0.0.1:{port}",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert answer.stderr.startswith("UserError: text encoder 'organisation/model': the hub cannot")
    assert "use minilm" in answer.stderr and answer.stderr.count("\n") == 1
    assert time.monotonic() - started < 30


@pytest.fixture
def bert_folder(tmp_path) -> Path:
    """A tiny BERT with random weights, saved as transformers saves one."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    vocab += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocab))
    words = {word: number for number, word in enumerate(vocab)}
    transformers.BertTokenizer(vocab=words).save_pretrained(tmp_path)
    config = transformers.BertConfig(
        vocab_size=len(vocab),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=24,
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    return tmp_path


def test_transformers_folder_is_the_mean_over_tokens(bert_folder):
    import torch
    from transformers import AutoModel, AutoTokenizer

    encoder = load_text_encoder(str(bert_folder))
    texts = ["a chair", "table", "a very long sentence about furniture"]
    tokenizer = AutoTokenizer.from_pretrained(bert_folder)
    model = AutoModel.from_pretrained(bert_folder).eval()
    with torch.inference_mode():
        expected = [
            model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=24))
            .last_hidden_state[0]
            .mean(0)
            .numpy()
            for text in texts
        ]
    assert encoder.dim == 16
    np.testing.assert_allclose(encoder.encode(texts), expected, atol=1e-5)


def test_sentence_transformers_folder(bert_folder):
    """The folder's own pooling and normalisation count, and change the fingerprint."""
    sentence_transformers = pytest.importorskip("sentence_transformers")
    plain = load_text_encoder(str(bert_folder)).fingerprint
    (bert_folder / "1_Pooling").mkdir()
    (bert_folder / "1_Pooling" / "config.json").write_text(
        json.dumps(
            {
                "word_embedding_dimension": 16,
                "pooling_mode_cls_token": True,
                "pooling_mode_mean_tokens": False,
            }
        )
    )
    names = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate(names.items())
    ]
    (bert_folder / "modules.json").write_text(json.dumps(modules))
    encoder = load_text_encoder(str(bert_folder))
    texts = ["a chair", "table"]
    reference = sentence_transformers.SentenceTransformer(str(bert_folder), device="cpu")
    expected = reference.encode(texts, show_progress_bar=False)
    np.testing.assert_allclose(encoder.encode(texts), expected, atol=1e-5)
    assert encoder.fingerprint != plain
    (bert_folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(UserError, match="pooling_mode_max_tokens' is not offered"):
        load_text_encoder(str(bert_folder))


def test_pickled_weights_are_never_read(bert_folder):
    import torch

    (bert_folder / "model.safetensors").unlink()
    torch.save({"weight": torch.zeros(2)}, bert_folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot be read"):
        load_text_encoder(str(bert_folder))


def test_t5_folder_uses_the_encoder(tmp_path):
    transformers = pytest.importorskip("transformers")
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "a": 2, "chair": 3}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>"
    ).save_pretrained(tmp_path)
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=8, d_model=12, d_kv=4, d_ff=24, num_layers=2, num_heads=3
    )
    model = transformers.T5Model(config).eval()
    model.save_pretrained(tmp_path)
    encoder = load_text_encoder(str(tmp_path))
    with torch.inference_mode():
        expected = model.encoder(torch.tensor([[2, 3]])).last_hidden_state.mean(1).numpy()
    np.testing.assert_allclose(encoder.encode(["a chair"]), expected, atol=1e-5)


def test_two_tower_folder_uses_its_projection(tmp_path):
    transformers = pytest.importorskip("transformers")
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocab = {"<pad>": 0, "<unk>": 1, "a": 2, "chair": 3, "<s>": 4, "</s>": 5}
    tokenizer = Tokenizer(models.WordLevel(vocab, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 4), ("</s>", 5)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(tmp_path)
    torch.manual_seed(0)
    tower = {
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = transformers.CLIPConfig(
        text_config={
            **tower,
            "vocab_size": 6,
            "max_position_embeddings": 7,
            "bos_token_id": 4,
            "eos_token_id": 5,
            "pad_token_id": 0,
        },
        vision_config={**tower, "image_size": 8, "patch_size": 4},
        projection_dim=6,
    )
    model = transformers.CLIPModel(config).eval()
    model.save_pretrained(tmp_path)
    encoder = load_text_encoder(str(tmp_path))
    assert encoder.dim == 6
    with torch.inference_mode():
        states = model.text_model(torch.tensor([[4, 2, 3, 5]]))
        expected = model.text_projection(states.pooler_output).numpy()
    np.testing.assert_allclose(encoder.encode(["a chair"]), expected, atol=1e-5)
    # Longer than the model's seven positions: cut, not crashed.
    assert encoder.encode(["a chair " * 40]).shape == (1, 6)
