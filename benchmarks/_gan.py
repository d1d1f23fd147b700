"""A small conditional GAN that makes images of rare classes."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import trange

LATENT = 64
WIDTH = 64


class Generator(nn.Module):
    """Map noise and a class to an image of 3 x 32 x 32, levels from -1 to 1."""

    def __init__(self, n_classes):
        super().__init__()
        self.embedding = nn.Embedding(n_classes, LATENT)
        self.start = nn.Linear(2 * LATENT, 4 * WIDTH * 4 * 4)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(4 * WIDTH),
            nn.ReLU(),
            *_doubled(4 * WIDTH, 2 * WIDTH),
            *_doubled(2 * WIDTH, WIDTH),
            nn.ConvTranspose2d(WIDTH, 3, 4, stride=2, padding=1),
            nn.Tanh(),
        )

    def forward(self, noise, labels):
        """Return images of shape (n, 3, 32, 32)."""
        rows = self.start(torch.cat([noise, self.embedding(labels)], dim=1))
        return self.layers(rows.reshape(-1, 4 * WIDTH, 4, 4))


class Discriminator(nn.Module):
    """Score images: high if they look like real images of their class."""

    def __init__(self, n_classes):
        super().__init__()
        self.layers = nn.Sequential(
            *_halved(3, WIDTH), *_halved(WIDTH, 2 * WIDTH), *_halved(2 * WIDTH, 4 * WIDTH)
        )
        self.score = nn.utils.spectral_norm(nn.Linear(4 * WIDTH, 1))
        self.embedding = nn.utils.spectral_norm(nn.Embedding(n_classes, 4 * WIDTH))

    def forward(self, images, labels):
        """Return scores of shape (n,): a projection discriminator, Miyato and Koyama, 2018."""
        features = self.layers(images).sum(dim=(2, 3))
        return self.score(features)[:, 0] + (self.embedding(labels) * features).sum(dim=1)


def _doubled(n_in, n_out):
    return (
        nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
    )


def _halved(n_in, n_out):
    convolution = nn.Conv2d(n_in, n_out, 4, stride=2, padding=1)
    return nn.utils.spectral_norm(convolution), nn.LeakyReLU(0.1)


def balance(X, y, *, n_steps, device="cpu", seed=0, batch_size=128):
    """Train a GAN on images and add images that it makes, until classes balance.

    Training draws all classes equally often, so that it learns the rare ones too.

    Parameters
    ----------
    X : ndarray of shape (n, 3, 32, 32), dtype uint8
    y : ndarray of shape (n,)
        Labels 0, 1, ...
    n_steps : int
        Number of training steps.
    device : str
    seed : int
    batch_size : int

    Returns
    -------
    X, y : ndarray
        The original images, followed by the new ones.
    n_parameters : int
        Parameters of generator and discriminator.
    """
    counts = np.bincount(y)
    images = torch.from_numpy(X).to(device).float() / 127.5 - 1
    labels = torch.from_numpy(y).to(device)
    with torch.random.fork_rng([device] if torch.device(device).type == "cuda" else []):
        torch.manual_seed(seed)
        generator = Generator(len(counts)).to(device)
        discriminator = Discriminator(len(counts)).to(device)
        weights = (1 / torch.from_numpy(counts).to(device))[labels]
        _train(generator, discriminator, images, labels, weights, n_steps, batch_size)
        wanted = torch.from_numpy(np.repeat(np.arange(len(counts)), counts.max() - counts))
        made = _make(generator, wanted.to(device))
    n_parameters = sum(
        parameter.numel() for part in (generator, discriminator) for parameter in part.parameters()
    )
    return np.concatenate([X, made]), np.concatenate([y, wanted.numpy()]), n_parameters


def _train(generator, discriminator, images, labels, weights, n_steps, batch_size):
    optimizers = [
        torch.optim.Adam(part.parameters(), lr=2e-4, betas=(0.5, 0.999))
        for part in (discriminator, generator)
    ]
    for _ in trange(n_steps, desc="GAN", unit="step", leave=False):
        rows = torch.multinomial(weights, batch_size, replacement=True)
        real, classes = images[rows], labels[rows]
        real = torch.where(torch.rand_like(real[:, :1, :1, :1]) < 0.5, real.flip(-1), real)
        fake = generator(torch.randn(batch_size, LATENT, device=images.device), classes)
        # The hinge loss.
        loss = functional.relu(1 - discriminator(real, classes)).mean()
        loss = loss + functional.relu(1 + discriminator(fake.detach(), classes)).mean()
        _step(optimizers[0], loss)
        _step(optimizers[1], -discriminator(fake, classes).mean())


def _step(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@torch.no_grad()
def _make(generator, labels):
    generator.eval()
    parts = [np.empty((0, 3, 32, 32), dtype=np.uint8)]
    for classes in labels.split(500):
        images = generator(torch.randn(len(classes), LATENT, device=labels.device), classes)
        parts.append(((images + 1) * 127.5).round().to(torch.uint8).cpu().numpy())
    return np.concatenate(parts)
