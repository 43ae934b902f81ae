"""Beam search of 64 pictures at once, against one picture at a time.

    python benchmarks/caption_beam.py

The same captioner (documented widths, attention over 14 x 14 places, 3,000 words), the same beams,
the same score. The peer goes as the usual tutorial does: picture by picture, with lists of
sentences that are grown, sorted and dropped; what attention compares is made once for a picture,
which is better than the tutorial, whose literal way is timed apart. All must say the same
captions. Weights are random,
made larger so that sentences have many lengths. Figures are medians of wall time.
"""

import argparse
import statistics
import time

import torch
from torch import Tensor

from triform.systems.captioner.config import ModelConfig
from triform.systems.captioner.decoding import Decoder
from triform.systems.captioner.model import Captioner, State
from triform.text.vocabulary import Vocabulary


def one_picture(
    decoder: Decoder, places: Tensor, size: int, power: float, *, literal: bool = False
) -> list[int]:
    """The tutorial's loop over the words of one picture (1, L, E).

    Literally, attention projects the places of every beam anew for every word.
    """
    state = decoder.model.start(places).rows(torch.zeros(size, dtype=torch.long))
    open_beams: list[tuple[float, list[int]]] = [(0.0, [])] + [(float("-inf"), [])] * (size - 1)
    finished: list[tuple[float, list[int]]] = []
    for length in range(1, decoder.max_length + 2):
        if literal and decoder.model.attention is not None:
            state = state._replace(keys=decoder.model.attention.key(state.places))
        last = [said[-1] if said else decoder.first for _, said in open_beams]
        likely, state, _ = decoder._step(torch.tensor(last), state)
        scores = torch.tensor([score for score, _ in open_beams])[:, None] + likely
        top, place = scores.flatten().topk(2 * size)
        grown: list[tuple[float, list[int], int]] = []
        for rank, (score, number) in enumerate(zip(top.tolist(), place.tolist(), strict=True)):
            beam, word = divmod(number, likely.shape[1])
            if word == decoder.end:
                if rank < size:
                    finished.append((score / length**power, open_beams[beam][1]))
            elif len(grown) < size:
                grown.append((score, [*open_beams[beam][1], word], beam))
        finished = sorted(finished, key=lambda each: -each[0])[:size]
        parents = torch.tensor([beam for *_, beam in grown])
        state = State(*(tensor[parents] for tensor in state))
        open_beams = [(score, said) for score, said, _ in grown]
        hopeful = open_beams[0][0] / (decoder.max_length + 1) ** power
        if len(finished) == size and finished[-1][0] >= hopeful:
            break
    return finished[0][1] if finished else open_beams[0][1][: decoder.max_length]


def main(argv: list[str] | None = None) -> float:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--beam_size", type=int, default=5)
    parser.add_argument("--words", type=int, default=3000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(argv)
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    vocabulary = Vocabulary.build([" ".join(f"w{n}" for n in range(given.words))], 1)
    config = ModelConfig(
        attention=True, embed_size=given.width, decoder_dim=given.width, encoder_dim=given.width
    )
    model = Captioner(config, 64, vocabulary).eval()
    decoder = Decoder(model, vocabulary, max_length=20)
    with torch.no_grad():
        model.lstm.weight_ih.mul_(4)  # so that what was said, and what is seen, makes a difference
        model.lstm.weight_hh.mul_(4)
        model.to_words.weight.mul_(8)
        model.to_words.weight[decoder.end] *= 3
        picture = torch.randn(given.pictures, 64, 1, 1)
        places = model.encode(3 * (picture + torch.randn(given.pictures, 64, 14, 14)))
    spent: dict[str, list[float]] = {"at once": [], "one by one": [], "literally": []}
    same = dict.fromkeys(spent, given.pictures)
    for _ in range(given.repeats):
        began = time.perf_counter()
        ours = [said.words for said in decoder.beam(places, given.beam_size, 0.7)]
        spent["at once"].append(time.perf_counter() - began)
        for name in ("one by one", "literally"):
            began = time.perf_counter()
            with torch.no_grad():
                theirs = [
                    one_picture(
                        decoder, place[None], given.beam_size, 0.7, literal=name == "literally"
                    )
                    for place in places
                ]
            spent[name].append(time.perf_counter() - began)
            same[name] = sum(a == b for a, b in zip(ours, theirs, strict=True))
    median = {name: statistics.median(values) for name, values in spent.items()}
    lengths = sorted(map(len, ours))
    for name, seconds in median.items():
        print(f"{name}: {seconds * 1000:.0f} ms, {same[name]} of {len(ours)} captions the same")
    print(f"words: {lengths[0]} to {lengths[-1]}")
    print(f"ratio, literally: {median['literally'] / median['at once']:.2f} times")
    ratio = median["one by one"] / median["at once"]
    print(f"ratio: {ratio:.2f} times")
    return ratio


if __name__ == "__main__":
    main()
