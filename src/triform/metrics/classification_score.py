"""Classification accuracy score: accuracy on real images of a classifier of generated ones.

Ravuri and Vinyals, arXiv:1905.10887, section 3.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from triform.base.seeding import generator
from triform.pretrained.image_features import FeatureNet, preprocess

BATCH_SIZE, MAX_LR, WEIGHT_DECAY = 64, 0.01, 0.01


def classification_score(
    generated: Tensor,
    generated_labels: Tensor,
    real: Tensor,
    real_labels: Tensor,
    *,
    epochs: int = 8,
) -> float:
    """Accuracy in [0, 1] on real images of a small network trained on generated ones.

    Args:
        generated: (N, C, H, W) uint8.
        generated_labels: (N,) int64, the class that each was conditioned on.
        real: (M, C, H, W) uint8.
        real_labels: (M,) int64.
        epochs: Passes over the generated images.
    """
    num_classes = int(max(generated_labels.max(), real_labels.max())) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = FeatureNet(num_classes)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=WEIGHT_DECAY)
    steps = epochs * -(-len(generated) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, MAX_LR, total_steps=steps)
    random = generator("classification score")
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(generated), generator=random), BATCH_SIZE):
            loss = F.cross_entropy(network(preprocess(generated[rows])), generated_labels[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        predictions = torch.cat(
            [network(preprocess(part)).argmax(1) for part in torch.split(real, 500)]
        )
    return float((predictions == real_labels).float().mean())
