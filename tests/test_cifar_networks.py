"""The networks of benchmarks/cifar_lt.py: their images, their training, what is kept of them."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import _cifar_images
import _embeddings
import _gan
import _heads
import _networks
import _recipes


def make_images(n_train=24, n_test=3):
    rng = np.random.RandomState(0)
    y, y_test = np.repeat(np.arange(10), n_train), np.repeat(np.arange(10), n_test)
    X, X_test = (
        rng.randint(0, 256, (len(labels), 3, 32, 32)).astype(np.uint8) for labels in (y, y_test)
    )
    return X, y, X_test, y_test


def test_folds_share_no_image_and_cover_the_subset():
    images, case = make_images(), _recipes.Case("CE", ratio=4)
    X, y, X_test, _ = _cifar_images.split_images(images, case, None, 3)
    assert np.bincount(y).max() == 4 * np.bincount(y).min()
    assert X_test is images[2]
    whole = sorted(image.tobytes() for image in X)
    outside = []
    for fold in range(3):
        X_in, _, X_out, _ = _cifar_images.split_images(images, case, fold, 3)
        parts = [image.tobytes() for image in X_in], [image.tobytes() for image in X_out]
        assert sorted(parts[0] + parts[1]) == whole
        outside += parts[1]
    assert sorted(outside) == whole


@pytest.mark.parametrize(
    "recipe",
    [
        "CE + mixup + decay",
        pytest.param("balanced softmax + mixup + TrivialAugment + decay", marks=pytest.mark.slow),
        pytest.param("LDAM-DRW + mixup + decay", marks=pytest.mark.slow),
        "CE, random images",
    ],
)
def test_networks_of_a_recipe_give_their_embeddings_and_head(recipe, tmp_path):
    images = make_images(8)
    case, budget = _recipes.Case(recipe, ratio=4), _recipes.Budget(epochs=2, batch_size=16)
    embedded = _networks.embed(images, case, budget, tmp_path, tmp_path / "embeddings")
    assert embedded.Z.shape == (len(embedded.y), 64)
    assert embedded.Z_new.shape == (30, 64)
    assert embedded.is_unit == recipe.startswith("LDAM")
    network = _heads.Network(embedded)
    assert network.own_head.logits(network.Z_new).shape == (30, 10)
    if embedded.is_unit:
        np.testing.assert_allclose(np.linalg.norm(network.own_head.coef, axis=1), 30, rtol=1e-5)
    assert ("images" in embedded.seconds) == ("images" in recipe)
    assert not any((tmp_path / "checkpoints").iterdir())


def test_networks_of_other_images_or_recipes_are_not_taken(monkeypatch):
    images, case = make_images(2), _recipes.Case("CE")
    digests = {
        _embeddings.digest_of(images, case),
        _embeddings.digest_of(images, _recipes.Case("focal")),
    }
    X, y, X_test, y_test = images
    digests.add(_embeddings.digest_of((X[::-1].copy(), y, X_test, y_test), case))
    monkeypatch.setattr(_embeddings, "VERSION", 99)
    digests.add(_embeddings.digest_of(images, case))
    assert len(digests) == 4


def test_a_new_setting_of_recipes_leaves_the_others_their_networks():
    assert _recipes.RECIPES["CE"].changes == {}
    assert _recipes.RECIPES["CE + mixup + decay"].changes == {"mixup": 1.0, "weight_decay": 5e-4}
    nets = [
        _recipes.make_net(_recipes.RECIPES[name], _recipes.Budget(), 100, "")
        for name in ("CE + mixup", "CE + mixup + decay")
    ]
    assert [net.get_params()["optimizer__weight_decay"] for net in nets] == [2e-4, 5e-4]
    # Classes count by name, wherever they are defined.
    changes = _recipes.RECIPES["balanced softmax + mixup + decay"].changes
    assert changes == {"criterion": "BalancedSoftmaxLoss", "mixup": 1.0, "weight_decay": 5e-4}


def test_images_are_cropped_and_flipped():
    images = 1 + torch.rand(64, 3, 32, 32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        changed = _recipes.crop_and_flip(images)
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    found = set()
    for image, canvas in zip(changed, padded, strict=True):
        for top in range(9):
            for left in range(9):
                crop = canvas[:, top : top + 32, left : left + 32]
                for is_flipped in (False, True):
                    if torch.equal(image, crop.flip(-1) if is_flipped else crop):
                        found.add((top, left, is_flipped))
    # Were a crop not among all of them, or were they alike, there would be fewer.
    assert len(found) > 40
    assert {is_flipped for *_, is_flipped in found} == {False, True}
    assert {top for top, *_ in found} == {left for _, left, _ in found} == set(range(9))


@pytest.mark.parametrize(
    ("schedule", "epoch", "factor"),
    [
        ("steps", 0, 0.0),
        ("steps", 2, 0.4),
        ("steps", 5, 1.0),
        ("steps", 159, 1.0),
        ("steps", 160, 0.01),
        ("steps", 179, 0.01),
        ("steps", 180, 0.0001),
        ("cosine", 5, 1.0),
        ("cosine", 102.5, 0.5),
        ("cosine", 199.5, 0.0),
    ],
)
def test_learning_rate_follows_the_schedule(schedule, epoch, factor):
    n_done = round(2 * epoch)
    rows = [{"batches": [{}] * 2}] * (n_done // 2) + [{"batches": [{}] * (n_done % 2 + 1)}]
    group = {}
    net = SimpleNamespace(history=rows, lr=0.1, optimizer_=SimpleNamespace(param_groups=[group]))
    _recipes.LearningRate(schedule, 200, 2).on_batch_begin(net, training=True)
    assert group["lr"] == pytest.approx(0.1 * factor, abs=1e-5)


@pytest.mark.parametrize("how", ["random", "SMOTE", pytest.param("GAN", marks=pytest.mark.slow)])
def test_added_images_balance_classes(how):
    rng = np.random.RandomState(0)
    X, y = rng.randint(0, 256, (30, 3, 32, 32)).astype(np.uint8), np.repeat([0, 1], [20, 10])
    budget = _recipes.Budget(epochs=1, batch_size=8)
    X_all, y_all, n_parameters, seconds = _cifar_images.balance_images(X, y, how, budget, seed=0)
    assert seconds > 0
    assert X_all.dtype == np.uint8
    assert X_all.shape == (40, 3, 32, 32)
    np.testing.assert_array_equal(X_all[:30], X)
    assert np.bincount(y_all).tolist() == [20, 20]
    assert (n_parameters > 0) == (how == "GAN")
    again = _cifar_images.balance_images(X, y, how, budget, seed=0)[0]
    np.testing.assert_array_equal(X_all, again)


def test_the_gan_makes_nothing_for_balanced_classes():
    X, y = np.zeros((4, 3, 32, 32), dtype=np.uint8), np.array([0, 0, 1, 1])
    assert len(_gan.balance(X, y, n_steps=1, batch_size=4)[0]) == 4
