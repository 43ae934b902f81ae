"""Fully connected encoder and decoder, layer by layer."""

import torch
from torch import nn

from triform.layers.dense_autoencoder import dense_decoder, dense_encoder


def test_relu_between_linear_layers_and_not_at_the_ends():
    torch.manual_seed(0)
    encoder, decoder = dense_encoder(3, 5, (7, 6), 4), dense_decoder(3, 5, (6, 7), 4)
    images = torch.randn(2, 3, 5, 5)
    h = images.flatten(1)
    for network, sizes in ((encoder, [75, 7, 6, 4]), (decoder, [4, 6, 7, 75])):
        layers = [m for m in network.modules() if isinstance(m, nn.Linear)]
        assert [layers[0].in_features, *(layer.out_features for layer in layers)] == sizes
        start = h
        for layer in layers[:-1]:
            h = torch.relu(layer(h))
        h = layers[-1](h)
        output = network(images if network is encoder else start)
        torch.testing.assert_close(output.flatten(1), h)
    assert output.shape == images.shape
