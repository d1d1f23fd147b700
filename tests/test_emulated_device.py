"""Tensors on a GPU stay there: each public path runs on an emulated CUDA device.

Its arithmetic is that of the CPU, with which results are compared. Products of matrices differ in
their last bits, because they depend on where the memory of a tensor begins.
"""

import numpy as np
import pytest
import torch
from emulated_cuda import DEVICE, EmulatedCuda
from networks import MLP
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from skorch import NeuralNetClassifier
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from imblearn_eos import (
    EOS,
    AveragedHead,
    Embedder,
    FeatureExtractor,
    GaussianOverSampler,
    LinearHead,
    TorchNearestNeighbors,
    _enemies,
    make_embedding_pipeline,
)
from imblearn_eos.embedding import _head, _head_inputs, scale_weights
from imblearn_eos.losses import (
    AsymmetricLoss,
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    DeferredReweighting,
    FocalLoss,
    LDAMLoss,
    LogitAdjustedLoss,
)
from imblearn_eos.metrics import generalization_gap, generalization_gap_report
from imblearn_eos.neighbors import _base, _search, _topk
from imblearn_eos.training import BatchAugmentation, BatchLoader, Mixup, Resume

N_CLASSES, COUNTS = 3, [250, 110, 40]


@pytest.fixture
def cuda():
    with EmulatedCuda() as cuda:
        yield cuda


@pytest.fixture
def rows():
    random_state = np.random.RandomState(0)
    y = np.repeat(np.arange(N_CLASSES), COUNTS)
    return (random_state.normal(size=(len(y), 16)) + y[:, None]).astype(np.float32), y


def on_cuda(*arrays):
    return [torch.from_numpy(array).cuda() for array in arrays]


class Twice:
    """A sampler that returns all rows twice, where they are."""

    def get_params(self, deep=True):
        return {}

    def fit_resample(self, X, y):
        return torch.cat([X, X]), np.concatenate([y, y])


def make_net(**params):
    params = {"module__n_features": 16, "train_split": None, "verbose": 0, **params}
    params = {"max_epochs": 2, "batch_size": 32, "criterion": torch.nn.CrossEntropyLoss, **params}
    return NeuralNetClassifier(MLP, **params)


# --- the emulated device --------------------------------------------------------------------------


def test_devices_cannot_be_mixed(cuda):
    here, there = torch.ones(3, 3), torch.ones(3, 3, device="cuda")
    assert (there.device, there.is_cuda, here.is_cuda) == (torch.device("cuda:0"), True, False)
    assert (there @ here.to(there)).device == there.device
    for operation in (
        lambda: there @ here,
        lambda: torch.cat([here, there]),
        lambda: here[torch.tensor([0, 1], device="cuda")],
        lambda: torch.nn.Linear(3, 2)(there),
    ):
        with pytest.raises(RuntimeError, match="device"):
            operation()
    with pytest.raises(TypeError, match="numpy"):
        np.asarray(there)
    assert type(there.cpu()) is torch.Tensor


def test_waits_and_copies_are_counted(cuda):
    there = torch.zeros(5, 2).to("cuda")
    assert cuda.copies_to_device == [5 * 2 * 4]
    assert float(there.sum()) == there[0, 0].item() == 0
    assert not (there > 0).any()
    there[np.array([0, 1])] = 1
    assert len(there[there[:, 0] > 0]) == 2
    assert cuda.waits == {"__float__": 1, "item": 1, "__bool__": 1, "mask": 1}
    assert cuda.copies_to_device[1:] == [2 * 8]
    assert there.cpu().sum() == 4
    assert cuda.copies_to_host == [5 * 2 * 4]


def test_gradients_flow_between_devices(cuda):
    here = torch.tensor([2.0, 3.0], requires_grad=True)
    there = here.cuda()
    (there * there.detach()).sum().cpu().backward()
    assert here.grad.tolist() == [2, 3]


# --- heads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("params", [{}, {"tol": 1e-4}, {"class_weight": "balanced"}])
@pytest.mark.parametrize("n_rows", [400, 12])
def test_head_is_fitted_where_the_rows_are(cuda, rows, params, n_rows):
    X, y = (array[:: 400 // n_rows] for array in rows)
    expected = LinearHead(**params, device="cpu").fit(X, y)
    tensors = on_cuda(X, y)
    cuda.reset()
    head = LinearHead(**params).fit(*tensors)
    assert_allclose(head.coef_, expected.coef_, atol=10 * head.tol)
    assert_allclose(head.intercept_, expected.intercept_, atol=10 * head.tol)
    if n_rows == 400:
        assert max(cuda.copies_to_host + cuda.copies_to_device) < X.nbytes / 4


def test_head_takes_arrays_and_sparse_rows_to_the_device(cuda, rows):
    X, y = rows
    for given in (X, sparse.csr_matrix(X)):
        expected = LinearHead(device="cpu").fit(given, y)
        head = LinearHead(device="cuda").fit(given, y)
        assert_allclose(head.coef_, expected.coef_, atol=1e-6)
        assert_allclose(head.predict_proba(given), expected.predict_proba(given), atol=1e-6)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_rows_are_predicted_where_they_are(cuda, rows, method):
    X, y = rows
    head = LinearHead(device="cpu").fit(X, y)
    expected = getattr(head, method)(X)
    (tensor,) = on_cuda(X)
    cuda.reset()
    assert_allclose(getattr(head.set_params(device="auto"), method)(tensor), expected)
    # Only the results.
    assert max(cuda.copies_to_host) <= expected.nbytes
    assert len(cuda.copies_to_host) == 1


def test_each_evaluation_of_a_loss_waits_once(cuda, rows, monkeypatch):
    evaluations = []

    def count(weights, *args):
        evaluations.append(len(weights))
        return original(weights, *args)

    original = _head._penalized_loss
    monkeypatch.setattr(_head, "_penalized_loss", count)
    head, tensors = LinearHead(), on_cuda(*rows)
    cuda.reset()
    head.fit(*tensors)
    assert len(evaluations) > 10
    # Of the others, one checks X, three choose directions, and three copy labels and the result.
    assert cuda.waits.total() <= len(evaluations) + 7
    expected = scale_weights(head.set_params(device="cpu"), *rows)
    cuda.reset()
    scaled = scale_weights(head.set_params(device="auto"), *tensors)
    assert_allclose(scaled.coef_, expected.coef_, atol=1e-4)
    assert set(cuda.waits) == {"tolist", "copy to the host"}
    assert cuda.waits["tolist"] == 1


def test_averaged_head_leaves_rows_to_the_sampler_where_they_are(cuda, rows):
    expected = AveragedHead(Twice(), device="cpu").fit(torch.from_numpy(rows[0]), rows[1])
    tensors = on_cuda(*rows)
    cuda.reset()
    head = AveragedHead(Twice()).fit(*tensors)
    assert_allclose(head.coef_, expected.coef_, atol=1e-6)
    assert max(cuda.copies_to_host + cuda.copies_to_device) < rows[0].nbytes / 2


# --- generalization gap ---------------------------------------------------------------------------


def test_embeddings_stay_where_they_are_when_their_gap_is_measured(cuda, rows):
    train, test = [array[::2] for array in rows], [array[1::2] for array in rows]
    y_pred = np.roll(test[1], 9)
    given = [*train, *train, *test]
    expected = generalization_gap_report(*given, y_pred=y_pred)
    raw = generalization_gap(*train, *test, average="raw")
    tensors = on_cuda(*given)
    cuda.reset()
    found = generalization_gap_report(*tensors, y_pred=y_pred)
    for part in ("before", "after", "size_matched", "label_noise"):
        for name, gaps in expected[part].items():
            assert_array_equal(found[part][name], gaps)
    assert_array_equal(generalization_gap(*tensors[:2], *tensors[4:], average="raw"), raw)
    assert max(cuda.copies_to_host + cuda.copies_to_device) < train[0].nbytes / 4


# --- losses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loss",
    [
        FocalLoss(),
        AsymmetricLoss(),
        ClassBalancedLoss(class_counts=COUNTS),
        LDAMLoss(class_counts=COUNTS),
        LogitAdjustedLoss(class_counts=COUNTS),
        BalancedSoftmaxLoss(class_counts=COUNTS),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_losses_do_not_wait(cuda, rows, loss):
    results = []
    for device in ("cpu", "cuda"):
        X, y = (torch.from_numpy(array).to(device) for array in rows)
        weights = torch.ones(16, N_CLASSES, device=device, requires_grad=True)
        cuda.reset()
        result = loss(X @ weights, y)
        result.backward()
        assert result.device.type == weights.grad.device.type == device
        assert not cuda.waits
        results.append(weights.grad.tolist())
    assert_allclose(*results, rtol=1e-4, atol=1e-6)


def test_class_counts_are_copied_to_the_device_once(cuda, rows):
    loss = LogitAdjustedLoss(class_counts=COUNTS)
    logits, target = torch.zeros(2, N_CLASSES, device="cuda"), torch.tensor([0, 0], device="cuda")
    expected = loss(logits.cpu(), target.cpu())
    for _ in range(3):
        assert loss(logits, target).cpu() == expected
    assert len(cuda.copies_to_device) == 1
    loss.set_class_counts(COUNTS[::-1])
    assert loss(logits, target).cpu() != expected


# --- networks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_tensor", [True, False], ids=["tensors", "arrays"])
def test_embeddings_are_where_the_samples_are(cuda, rows, is_tensor):
    expected = Embedder(make_net(), random_state=0).fit(*rows).transform(rows[0])
    given = on_cuda(*rows) if is_tensor else rows
    embedder = Embedder(make_net(device="cuda"), random_state=0).fit(*given)
    cuda.reset()
    embeddings = embedder.transform(given[0])
    # Not one copy for each batch, and no outputs.
    assert cuda.copies_to_host == ([] if is_tensor else [expected.nbytes])
    if is_tensor:
        assert embeddings.is_cuda
        embeddings = embeddings.cpu().numpy()
    assert_allclose(embeddings, expected, rtol=1e-3, atol=1e-4)
    assert_array_equal(embedder.predict(given[0]), embedder.predict(rows[0]))


def test_memory_of_embeddings_that_wait_on_the_device_is_bounded(cuda, rows, monkeypatch):
    embedder = Embedder(make_net(device="cuda"), random_state=0).fit(*rows)
    expected = embedder.transform(rows[0])
    monkeypatch.setattr(_head_inputs, "COPIED_BYTES", expected[:100].nbytes)
    cuda.reset()
    assert_array_equal(embedder.transform(rows[0]), expected)
    # The batches have 32 rows.
    row = expected[0].nbytes
    assert cuda.copies_to_host == [128 * row, 128 * row, 128 * row, 16 * row]


def test_training_waits_only_for_the_losses_that_skorch_notes(cuda, rows):
    callbacks = [Mixup(), DeferredReweighting(start=1)]
    params = {"criterion": LDAMLoss, "callbacks": callbacks, "iterator_train": BatchLoader}
    tensors = on_cuda(*rows)
    cuda.reset()
    Embedder(make_net(device="cuda", **params), random_state=0).fit(*tensors)
    n_batches = 2 * 13
    assert cuda.waits["item"] == n_batches
    # One for X, one for y, and two for the first samples.
    assert cuda.waits.total() <= n_batches + 4


def test_pipeline_is_fitted_and_exported_where_the_samples_are(cuda, rows):
    X, y = on_cuda(*rows)
    pipeline = make_embedding_pipeline(make_net(device="cuda"), random_state=0).fit(X, y)
    module = pipeline.to_module().eval()
    proba = module(X).softmax(dim=1).detach()
    assert proba.is_cuda
    assert_allclose(proba.cpu(), pipeline.predict_proba(X), rtol=1e-4, atol=1e-5)


class Labeled(Dataset):
    def __init__(self, X, y):
        self.X, self.targets = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.X[index], self.targets[index]


@pytest.mark.parametrize("kind", [TensorDataset, Labeled])
@pytest.mark.parametrize("loader", [DataLoader, BatchLoader])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_datasets_on_the_device_are_taken(cuda, rows, kind, loader, device):
    net = make_net(device=device, iterator_train=loader, iterator_valid=loader)
    expected = Embedder(net, random_state=0).fit(rows[0][::2], rows[1][::2])
    even = torch.arange(0, len(rows[0]), 2, device="cuda")
    dataset = Subset(kind(*on_cuda(*rows)), even)
    embedder = Embedder(net, random_state=0).fit(dataset)
    assert_array_equal(embedder.classes_, expected.classes_)
    Z = embedder.transform(dataset)
    assert_allclose(Z, expected.transform(rows[0][::2]), rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore:'pin_memory':UserWarning")
def test_each_batch_of_a_backbone_waits_once(cuda, rows):
    samples = TensorDataset(*map(torch.from_numpy, rows))
    params = {"preprocess": torch.as_tensor, "batch_size": 100, "dtype": "float32", "n_jobs": 1}
    module = MLP(n_features=16)
    expected = FeatureExtractor(module, **params, device="cpu").fit_transform(samples)
    extractor = FeatureExtractor(module, **params, device="cuda").fit(samples)
    cuda.reset()
    assert_allclose(extractor.transform(samples), expected, rtol=1e-4, atol=1e-5)
    assert cuda.waits == {"copy to the host": 4}


@pytest.mark.parametrize("device", ["cpu", "cuda", None])
def test_generators_of_the_device_are_left_as_they_were(cuda, rows, device):
    before, states = torch.cuda.get_rng_state(), []
    callbacks = [Resume(), BatchAugmentation(lambda samples: note_state(states, samples))]
    Embedder(make_net(device=device, callbacks=callbacks), random_state=0).fit(*rows)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    # Where a net may run on the device, its random numbers are seeded there, too.
    assert all(torch.equal(state, before) == (device == "cpu") for state in states)
    assert states


def note_state(states, samples):
    states.append(torch.cuda.get_rng_state())
    return samples


# --- sampler and neighbors ------------------------------------------------------------------------


def test_gaussian_rows_are_drawn_where_the_rows_are(cuda, rows):
    expected, labels = GaussianOverSampler(random_state=0).fit_resample(*rows)
    tensors = on_cuda(*rows)
    cuda.reset()
    found, y = GaussianOverSampler(random_state=0).fit_resample(*tensors)
    assert found.is_cuda
    assert y.is_cuda
    # Means, and labels; random numbers come from the host.
    assert max(cuda.copies_to_host) < rows[0].nbytes / 4
    assert_allclose(found.cpu(), expected, rtol=1e-5, atol=1e-6)
    assert_array_equal(y.cpu(), labels)


@pytest.mark.parametrize("enemy_search", ["neighborhood", "nearest"])
@pytest.mark.parametrize("at_once", [2**25, 1000])
def test_eos_makes_rows_where_the_rows_are(cuda, rows, enemy_search, at_once, monkeypatch):
    monkeypatch.setattr(_enemies, "NEIGHBORS_ON_DEVICE", at_once)
    params = {"n_neighbors": 100, "enemy_search": enemy_search, "random_state": 0}
    expected = EOS(**params, device="cpu").fit_resample(*rows)
    tensors = on_cuda(*rows)
    cuda.reset()
    found = EOS(**params).fit_resample(*tensors)
    # Neither rows nor their neighbors, but labels and what was drawn.
    assert max(cuda.copies_to_host) <= len(found[0]) * 8
    if (enemy_search, at_once) == ("neighborhood", 2**25):
        # Two are for the only block of queries.
        assert cuda.waits.total() <= 2 + 9
    for one, other in zip(found, expected, strict=True):
        assert one.is_cuda
        assert_array_equal(one.cpu().numpy(), other)


def test_neighbors_are_where_the_rows_are(cuda, rows):
    expected = TorchNearestNeighbors(5, device="cpu").fit(rows[0]).kneighbors()
    (tensor,) = on_cuda(rows[0])
    cuda.reset()
    found = TorchNearestNeighbors(5).fit(tensor).kneighbors()
    assert not cuda.copies_to_host
    assert all(one.is_cuda for one in found)
    # The roots of torch on a CPU, which emulates the device, may differ from a GPU in the last bit.
    assert_allclose(found[0].cpu().numpy(), expected[0], rtol=1e-15)
    assert_array_equal(found[1].cpu().numpy(), expected[1])


def test_searches_take_half_of_the_memory_that_is_free_at_first(cuda, rows):
    (tensor,) = on_cuda(rows[0])
    neighbors = TorchNearestNeighbors(5).fit(tensor)
    neighbors.kneighbors()
    cuda.free_bytes = 2**20
    neighbors.kneighbors()
    (search,) = neighbors._searches.values()
    assert search.n_bytes == 2**32
    assert TorchNearestNeighbors(5, working_memory=64).fit(tensor)._search(DEVICE).n_bytes == 2**26


def test_coarse_rows_on_the_device_take_little_more_than_their_numbers():
    n_bytes = _base.bytes_kept(10**6, 64, torch.float32, DEVICE)
    assert n_bytes <= 1.1 * 4 * 64 * 10**6


@pytest.mark.parametrize(
    ("memory", "n_features", "n_queries", "tile_rows"),
    [
        (64 * 1024, 64, 10**6, 2**17),
        (1024, 64, 10, 2**17),
        (1024, 64, 10**6, 2048),
        (1024, 8192, 10, 1024),
    ],
)
def test_rows_are_read_again_in_tiles_as_large_as_memory_allows(
    memory, n_features, n_queries, tile_rows
):
    search = _search.ExactSearch(torch.zeros(1, n_features), torch.device("cpu"), memory)
    search.device = DEVICE
    n_at_once, found = search._shape_again(11, n_queries)
    assert found == tile_rows
    assert min(n_queries, 1024) <= n_at_once <= 4096
    assert min(n_at_once, n_queries) * tile_rows * 100 <= search.n_bytes / 4


def test_doubtful_queries_of_all_blocks_are_searched_once(cuda, rows, monkeypatch):
    """Near-duplicates leave every query in doubt."""
    X = np.repeat(rows[0][:4], 100, axis=0)
    X = X + 1e-6 * np.random.RandomState(0).normal(size=X.shape)
    expected = TorchNearestNeighbors(5, device="cpu").fit(X).kneighbors()[1]
    seen = []
    search_again = _search.ExactSearch._search_again

    def count(self, coarse, task, numbers, *rest):
        seen.append(len(numbers))
        return search_again(self, coarse, task, numbers, *rest)

    monkeypatch.setitem(_base.BLOCK_QUERIES, "cuda", 32)
    monkeypatch.setitem(_base.TILE_ROWS, "cuda", 128)
    monkeypatch.setattr(_search.ExactSearch, "_search_again", count)
    (tensor,) = on_cuda(X)
    found = TorchNearestNeighbors(5).fit(tensor).kneighbors()[1]
    assert_array_equal(found.cpu().numpy(), expected)
    assert seen == [len(X)]


@pytest.mark.parametrize("result", ["distances", "order", "sets"])
@pytest.mark.parametrize("k", [5, 150])
def test_at_most_two_waits_for_each_block_of_queries(cuda, rows, result, k, monkeypatch):
    monkeypatch.setitem(_base.BLOCK_QUERIES, "cuda", 64)
    monkeypatch.setitem(_base.TILE_ROWS, "cuda", 2**14)
    X = torch.from_numpy(np.random.RandomState(0).normal(size=(1000, 8)).astype(np.float32))
    given = {"own": torch.arange(1000), "allowed": torch.arange(1000) % 9 > 0, "result": result}
    expected = _search.ExactSearch(X, torch.device("cpu"), 64).nearest(X, k, **given)
    search = _search.ExactSearch(X.cuda(), DEVICE, None)
    given = {**given, "own": given["own"].cuda(), "allowed": given["allowed"].cuda()}
    X = X.cuda()
    search.nearest(X[:1], k, **{**given, "own": given["own"][:1]})
    cuda.reset()
    found = search.nearest(X, k, **given)
    # Two more for the whole call: what is allowed, and what is in doubt.
    n_blocks = -(-1000 // search._engines_for(1000, k + 9, result != "sets")[0].shape(k + 9)[0])
    assert n_blocks > 3
    assert cuda.waits.total() <= (2 * n_blocks if result == "sets" else 0) + 2
    assert not cuda.copies_to_host
    assert not cuda.copies_to_device
    assert_array_equal(found[1].cpu(), expected[1])
    if result == "distances":
        assert_array_equal(found[0].cpu(), expected[0])


@pytest.mark.parametrize("n_kept", [1, 7, 60, 300])
@pytest.mark.parametrize("n_offered", [250, 700, 97])
def test_topk_of_few_groups_keeps_the_smallest_scores(n_kept, n_offered):
    scores = torch.from_numpy(np.random.RandomState(0).randint(0, 99, (5, 700)).astype(np.float32))
    best = _topk.TopkScores(5, n_kept, scores)
    for start in range(0, 700, n_offered):
        numbers = torch.arange(start, min(start + n_offered, 700))
        best.offer(scores[:, numbers], numbers)
    expected = scores.sort(dim=1).values[:, :n_kept]
    kept, kept_rows = best.merge()
    assert_array_equal(kept.sort(dim=1).values, expected)
    assert_array_equal(scores.gather(1, kept_rows), kept)
    assert_array_equal(best.limit, expected[:, -1])
