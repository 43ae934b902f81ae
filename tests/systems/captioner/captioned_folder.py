"""A small folder of captioned images in the documented form; shared by tests."""

from pathlib import Path

from PIL import Image

# Settings of a network that trains within seconds.
TINY = {
    "freq_threshold": 1,
    "num_workers": 0,
    "device": "cpu",
    "batch_size": 4,
    "embed_size": 16,
    "decoder_dim": 16,
    "encoder_dim": 16,
}


def flags_of(**settings: object) -> list[str]:
    """Settings as words of a command line."""
    return [word for name, value in settings.items() for word in (f"--{name}", str(value))]


def write_flickr(folder: Path, count: int = 12) -> list[str]:
    """Write a small folder and CSV; returns the flags that name them."""
    (folder / "images").mkdir()
    lines = ["image,caption"]
    for number in range(count):
        color = "red" if number % 2 else "blue"
        Image.new("RGB", (40, 30), color).save(folder / "images" / f"{number}.jpg")
        lines += [f'{number}.jpg,"A {color} sheet, plain"', f"{number}.jpg,all {color}"]
    (folder / "captions.csv").write_text("\n".join(lines))
    return ["--images_dir", str(folder / "images"), "--caption_file", str(folder / "captions.csv")]
