"""Beam search of 64 images in one batch, against one image at a time.

    python benchmarks/caption_beam.py

The same captioner (documented widths, attention over 14 x 14 positions, 3,000 words), the same beam
size, the same score. The peer goes image by image, with lists of sentences that are extended,
sorted and cut, as the usual tutorial does; the keys of the attention are computed once for an
image, which is better than the tutorial, whose literal way is timed separately. All must give the
same captions. Weights are random, scaled up so that captions have many lengths. Figures are medians
of wall time.
"""

import argparse
import statistics
import time

import torch
from torch import Tensor

from triform.systems.captioner.config import ModelConfig
from triform.systems.captioner.decoding import Decoder
from triform.systems.captioner.model import Captioner, DecoderState
from triform.text.vocabulary import Vocabulary


def one_image(
    decoder: Decoder, features: Tensor, size: int, penalty: float, *, literal: bool = False
) -> list[int]:
    """The tutorial's loop over the words of one image, whose features are (1, L, E).

    Literally, attention projects the features again for every beam and word.
    """
    state = decoder.model.init_state(features).select(torch.zeros(size, dtype=torch.long))
    beams: list[tuple[float, list[int]]] = [(0.0, [])] + [(float("-inf"), [])] * (size - 1)
    finished: list[tuple[float, list[int]]] = []
    for length in range(1, decoder.max_length + 2):
        if literal and decoder.model.attention is not None:
            state = state._replace(keys=decoder.model.attention.key(state.features))
        last = [sentence[-1] if sentence else decoder.start_id for _, sentence in beams]
        logits, state, _ = decoder._logits(torch.tensor(last), state)
        scores = torch.tensor([score for score, _ in beams])[:, None] + logits.log_softmax(1)
        top_scores, positions = scores.flatten().topk(2 * size)
        extended: list[tuple[float, list[int], int]] = []
        pairs = zip(top_scores.tolist(), positions.tolist(), strict=True)
        for rank, (score, position) in enumerate(pairs):
            beam, token_id = divmod(position, scores.shape[1])
            if token_id == decoder.end_id:
                if rank < size:
                    finished.append((score / length**penalty, beams[beam][1]))
            elif len(extended) < size:
                extended.append((score, [*beams[beam][1], token_id], beam))
        finished = sorted(finished, key=lambda each: -each[0])[:size]
        parents = torch.tensor([beam for *_, beam in extended])
        state = DecoderState(*(tensor[parents] for tensor in state))
        beams = [(score, sentence) for score, sentence, _ in extended]
        bound = beams[0][0] / (decoder.max_length + 1) ** penalty
        if len(finished) == size and finished[-1][0] >= bound:
            break
    return finished[0][1] if finished else beams[0][1][: decoder.max_length]


def main(argv: list[str] | None = None) -> float:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--beam_size", type=int, default=5)
    parser.add_argument("--words", type=int, default=3000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    vocabulary = Vocabulary.build([" ".join(f"w{n}" for n in range(args.words))], 1)
    config = ModelConfig(
        attention=True, embed_size=args.width, decoder_dim=args.width, encoder_dim=args.width
    )
    model = Captioner(config, 64, vocabulary).eval()
    decoder = Decoder(model, vocabulary, max_length=20)
    with torch.no_grad():
        model.lstm.weight_ih.mul_(4)  # so that words and images make a difference
        model.lstm.weight_hh.mul_(4)
        model.output_proj.weight.mul_(8)
        model.output_proj.weight[decoder.end_id] *= 3
        mean = torch.randn(args.images, 64, 1, 1)
        features = model.encode(3 * (mean + torch.randn(args.images, 64, 14, 14)))
    seconds: dict[str, list[float]] = {"batched": [], "one by one": [], "literal": []}
    same = dict.fromkeys(seconds, args.images)
    for _ in range(args.repeats):
        start = time.perf_counter()
        batched = [each.token_ids for each in decoder.beam(features, args.beam_size, 0.7)]
        seconds["batched"].append(time.perf_counter() - start)
        for name in ("one by one", "literal"):
            start = time.perf_counter()
            with torch.no_grad():
                single = [
                    one_image(
                        decoder,
                        image_features[None],
                        args.beam_size,
                        0.7,
                        literal=name == "literal",
                    )
                    for image_features in features
                ]
            seconds[name].append(time.perf_counter() - start)
            same[name] = sum(a == b for a, b in zip(batched, single, strict=True))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    lengths = sorted(map(len, batched))
    for name, value in median.items():
        print(f"{name}: {value * 1000:.0f} ms, {same[name]} of {len(batched)} captions the same")
    print(f"words: {lengths[0]} to {lengths[-1]}")
    print(f"ratio, literal: {median['literal'] / median['batched']:.2f} times")
    ratio = median["one by one"] / median["batched"]
    print(f"ratio: {ratio:.2f} times")
    return ratio


if __name__ == "__main__":
    main()
