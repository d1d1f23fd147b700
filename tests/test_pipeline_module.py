"""EmbeddingPipeline.from_module: modules that are trained already."""

import io
import pickle
from functools import partial
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from networks import (
    CNN,
    MLP,
    Backbone,
    HeadTwice,
    Inputs,
    LateProjection,
    MeanOfHeads,
    ScaledMLP,
    SharedHead,
    SoftmaxMLP,
    TwoHeads,
    make_data,
    make_net,
    make_tokens,
)
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scipy.special import softmax
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from imblearn_eos import (
    EOS,
    CommonScaler,
    Embedder,
    EmbeddingPipeline,
    LinearHead,
    make_embedding_pipeline,
)
from imblearn_eos.embedding._module import ModuleWithHead

X, y = make_data()
NAMES = np.array(["cat", "dog", "fox"])[y]


def make_module(cls=MLP, **params):
    torch.manual_seed(0)
    return cls(**params).eval()


def make_pipeline(module=None, **params):
    module = make_module() if module is None else module
    params = {"trained_on_rows": False, "random_state": 0, **params}
    return EmbeddingPipeline.from_module(module, **params)


def embeddings_of(module):
    with torch.no_grad():
        return module.embed(torch.from_numpy(X)).numpy()


def assert_is_network(pipeline, module, *inputs):
    """Check that the module's logits give the probabilities of the pipeline."""
    with torch.no_grad():
        logits = module(*inputs)
    assert_allclose(softmax(logits.numpy(), axis=1), pipeline.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("n_outputs", [1, 2, 3, 1000])
def test_any_number_of_outputs(n_outputs):
    module = make_module(n_classes=n_outputs)
    before = pickle.dumps(module.state_dict())
    pipeline = make_pipeline(module).fit(X, NAMES)
    assert pipeline["embedder"].layer_ == "head"
    assert_allclose(pipeline["embedder"].transform(X), embeddings_of(module), atol=1e-6)
    returned = pipeline.to_module()
    assert returned.head.out_features == 3
    assert_is_network(pipeline, returned, torch.from_numpy(X))
    assert pickle.dumps(module.state_dict()) == before
    assert module.head.out_features == n_outputs


@pytest.mark.parametrize(
    ("is_trained", "given"),
    [(True, LinearHead(alpha=0.1)), (False, LinearHead(alpha=0.1)), (True, None), (False, None)],
)
def test_embeddings_are_over_sampled_and_the_head_fitted_as_by_hand(is_trained, given):
    module = make_module()
    pipeline = make_pipeline(
        module, trained_on_rows=is_trained, sampler=EOS(n_neighbors=20), head=given
    )
    pipeline.fit(X, y)
    Z, sampler = embeddings_of(module), clone(pipeline["sampler"])
    head = LinearHead(alpha=0.01 if is_trained else 0.03) if given is None else clone(given)
    if given is None and not is_trained:
        Z = CommonScaler().fit_transform(Z)
    head.fit(*sampler.fit_resample(Z, y))
    assert_allclose(pipeline.predict_proba(X), head.predict_proba(Z), atol=1e-4)


@pytest.mark.parametrize("is_trained", [True, False])
def test_the_repr_shows_the_situation_and_the_sampler_but_not_the_whole_module(is_trained):
    text = repr(make_pipeline(CNN(), trained_on_rows=is_trained, random_state=None))
    assert f"FrozenModule(CNN, trained_on_rows={is_trained})" in text
    assert ("'sampler', EOS(n_neighbors=1000)" if is_trained else "AveragedHead(alpha=0.03") in text
    assert "Conv2d" not in text


def test_a_neighborhood_larger_than_the_data_is_clipped():
    assert len(X) < 1000
    pipeline = make_pipeline(trained_on_rows=True).fit(X, y)
    expected = make_pipeline(sampler=EOS(n_neighbors=len(X))).fit(X, y)
    assert_array_equal(pipeline["sampler"].base_indices_, expected["sampler"].base_indices_)


@pytest.mark.parametrize("sampler", ["passthrough", EOS(n_neighbors=5)])
def test_other_samplers_and_heads(sampler):
    pipeline = make_pipeline(sampler=sampler, head=LogisticRegression(C=0.1)).fit(X, y)
    assert_is_network(pipeline, pipeline.to_module(), torch.from_numpy(X))


# --- the head -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [TwoHeads, LateProjection, SharedHead])
def test_the_head_is_the_layer_that_makes_the_output(make):
    module = make_module(make)
    pipeline = make_pipeline(module).fit(X, y)
    assert_allclose(pipeline["embedder"].transform(X), embeddings_of(module), atol=1e-6)
    returned = pipeline.to_module()
    outputs = returned(torch.from_numpy(X))
    logits = outputs if isinstance(outputs, torch.Tensor) else outputs[0]
    assert_allclose(logits.softmax(dim=1).detach(), pipeline.predict_proba(X), atol=1e-5)


def test_a_module_that_returns_probabilities_returns_them_again():
    pipeline = make_pipeline(make_module(SoftmaxMLP)).fit(X, y)
    returned = pipeline.to_module()(torch.from_numpy(X)).detach()
    assert_allclose(returned, pipeline.predict_proba(X), atol=1e-5)


def test_a_named_layer_is_the_head():
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 9))
    pipeline = make_pipeline(module, layer="2").fit(X, y)
    assert pipeline["embedder"].n_features_out_ == 8
    with pytest.raises(ValueError, match="softmax of what its head returns"):
        pipeline.to_module()


@pytest.mark.parametrize("make", [ScaledMLP, HeadTwice, MeanOfHeads])
def test_an_unclear_head_asks_for_the_layer(make):
    with pytest.raises(ValueError, match=r"its head is not clear.*'head' .5 -> (3|1000).*layer=''"):
        make_pipeline(make_module(make)).fit(X, y)


def test_an_unknown_layer_lists_the_layers():
    with pytest.raises(ValueError, match=r"'fc', but .*'hidden' .6 -> 5., 'head' .5 -> 3."):
        make_pipeline(layer="fc").fit(X, y)


@pytest.mark.parametrize("layer", [None, ""])
def test_a_headless_module_gets_a_head(layer):
    module = make_module(Backbone)
    pipeline = make_pipeline(module, layer=layer).fit(X, NAMES)
    expected = module(torch.from_numpy(X)).detach()
    assert pipeline["embedder"].layer_ is None
    assert_allclose(pipeline["embedder"].transform(X), expected, atol=1e-6)
    returned = pipeline.to_module()
    assert type(returned) is nn.Sequential
    assert_is_network(pipeline, returned, torch.from_numpy(X))


def test_the_output_of_a_last_linear_layer_can_be_the_embedding():
    pipeline = make_pipeline(make_module(n_classes=4), layer="").fit(X, y)
    assert pipeline["embedder"].n_features_out_ == 4
    assert_is_network(pipeline, pipeline.to_module(), torch.from_numpy(X))


def test_maps_without_pooling_are_refused():
    images = np.random.RandomState(0).normal(size=(92, 1, 6, 6))
    with pytest.raises(ValueError, match=r"Sequential has no .*\(2, 4, 4, 4\).*nn.Flatten"):
        make_pipeline(nn.Sequential(nn.Conv2d(1, 4, 3))).fit(images, y)


# --- inputs and outputs ---------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["logits", "pooler_output"])
def test_dicts_in_and_mappings_out(key):
    tokens, labels = make_tokens()
    module = make_module(Inputs, key=key)
    pipeline = make_pipeline(module).fit(tokens, labels)
    assert pipeline.score(tokens, labels) > 0.8
    returned = pipeline.to_module()
    assert isinstance(returned, Inputs if key == "logits" else ModuleWithHead)
    inputs = {"tokens": torch.tensor(tokens["tokens"]), "mask": torch.tensor(tokens["mask"])}
    outputs = returned(inputs["tokens"], mask=inputs["mask"].float())
    logits = outputs["logits"] if key == "logits" else outputs
    assert_allclose(logits.softmax(dim=1).detach(), pipeline.predict_proba(tokens), atol=1e-5)


class LossAndLogits(NamedTuple):
    loss: torch.Tensor
    logits: torch.Tensor


@pytest.mark.parametrize(
    "wrap", [lambda logits: SimpleNamespace(logits=logits), partial(LossAndLogits, torch.zeros(()))]
)
def test_objects_with_logits(wrap):
    class Wrapped(MLP):
        def forward(self, X):
            return wrap(super().forward(X))

    pipeline = make_pipeline(make_module(Wrapped, n_classes=9)).fit(X, y)
    assert pipeline["embedder"].layer_ == "head"
    logits = pipeline.to_module()(torch.from_numpy(X)).logits
    assert_allclose(logits.softmax(dim=1).detach(), pipeline.predict_proba(X), atol=1e-6)


def test_a_mapping_without_scores_is_refused_by_its_keys():
    tokens, labels = make_tokens()
    with pytest.raises(ValueError, match=r"got dict with the keys \['hidden', 'out'\]"):
        make_pipeline(make_module(Inputs, key="out")).fit(tokens, labels)


def to_tensor(image):
    return torch.from_numpy(np.asarray(image, dtype=np.float32)[None] / 255)


def open_image(buffer):
    return to_tensor(Image.open(buffer))


@pytest.fixture
def images():
    random_state = np.random.RandomState(0)
    pixels = random_state.randint(255, size=(len(y), 8, 8)) // 2 + 40 * y[:, None, None]
    return [Image.fromarray(image.astype(np.uint8)) for image in pixels]


class Pictures(Dataset):
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], NAMES[index]


def test_preprocess_takes_samples_of_any_type(images):
    module = nn.Sequential(make_module(CNN)).eval()
    tensors = torch.stack([to_tensor(image) for image in images])
    module(tensors)
    pipeline = make_pipeline(module, preprocess=to_tensor).fit(images, NAMES)
    expected = make_pipeline(module).fit(tensors, NAMES)
    assert_allclose(pipeline.predict_proba(images), expected.predict_proba(tensors), atol=1e-6)
    # A dataset of pairs, whose labels are not preprocessed.
    of_pairs = make_pipeline(module, preprocess=to_tensor).fit(Pictures(images))
    assert_array_equal(of_pairs.predict(Pictures(images)), pipeline.predict(images))


def test_batch_size_is_the_number_of_samples_in_one_pass():
    module, sizes = make_module(), []
    expected = make_pipeline(module).fit(X, y).predict_proba(X)
    module.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    pipeline = make_pipeline(module, batch_size=7).fit(X, y)
    assert_allclose(pipeline.predict_proba(X), expected, atol=1e-5)
    assert max(sizes) == 7


def test_preprocess_takes_columns_of_a_dataframe(images, tmp_path):
    pd = pytest.importorskip("pandas")
    module = make_module(CNN)
    module(torch.zeros(1, 1, 8, 8))
    for i, image in enumerate(images):
        image.save(tmp_path / f"{i}.png")
    frame = pd.DataFrame({"path": [tmp_path / f"{i}.png" for i in range(len(y))], "y": NAMES})
    frame.index += 100
    pipeline = make_pipeline(module, preprocess=open_image).fit(frame["path"], frame["y"])
    expected = make_pipeline(module, preprocess=to_tensor).fit(images, NAMES)
    assert_array_equal(pipeline.predict(frame["path"]), expected.predict(images))
    scores = cross_val_score(pipeline, frame["path"], frame["y"], cv=3, error_score="raise")
    assert_array_equal(scores, cross_val_score(expected, images, NAMES, cv=3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_module_stays_on_its_device():
    pipeline = make_pipeline(make_module().cuda()).fit(X, y)
    returned = pipeline.to_module()
    assert returned.head.weight.is_cuda
    assert_is_network(pipeline, returned.cpu(), torch.from_numpy(X))
    tensors = make_pipeline(make_module(Backbone).cuda()).fit(torch.from_numpy(X).cuda(), y)
    assert tensors["embedder"].transform(torch.from_numpy(X).cuda()).is_cuda


def test_half_precision_modules_take_float32():
    pipeline = make_pipeline(make_module().to(torch.bfloat16)).fit(X, y)
    assert pipeline["embedder"].transform(X).dtype == np.float32
    assert pipeline.to_module().head.weight.dtype == torch.bfloat16


# --- scikit-learn ---------------------------------------------------------------------------------


def test_grid_search_shares_the_module():
    module = make_module()
    grid = {"head__sampler__n_neighbors": [5, 1000], "head__alpha": [0.01, 1.0]}
    search = GridSearchCV(make_pipeline(module), grid, cv=3, error_score="raise").fit(X, y)
    assert set(search.best_params_) == set(grid)
    assert search.best_estimator_["embedder"].net_.module_ is module
    params = clone(search.best_estimator_).get_params()
    assert params["head__alpha"] == search.best_params_["head__alpha"]


def test_pickled_pipelines_hold_the_module_once():
    module = make_module(width=2000)
    pipeline = make_pipeline(module, sampler="passthrough").fit(X, y)
    for copied in (pickle.loads(pickle.dumps(pipeline)), clone(pipeline).fit(X, y)):
        assert_array_equal(copied.predict_proba(X), pipeline.predict_proba(X))
    buffer = io.BytesIO()
    torch.save(module, buffer)
    vars(pipeline).pop("_training_ranges")
    assert len(pickle.dumps(pipeline)) < 1.9 * len(buffer.getvalue())


def test_two_pipelines_of_one_seed_are_equal():
    predictions = [make_pipeline(random_state=3).fit(X, y).predict_proba(X) for _ in range(2)]
    assert_array_equal(*predictions)


def test_the_network_itself_does_not_predict():
    embedder = make_pipeline(make_module(n_classes=9)).fit(X, y)["embedder"]
    assert not hasattr(embedder, "predict_proba")
    assert not hasattr(embedder, "predict")


@pytest.mark.parametrize("module", [make_net(), MLP])
def test_from_module_takes_modules(module):
    with pytest.raises(
        TypeError, match=r"must be a torch.nn.Module, got .*make_embedding_pipeline"
    ):
        EmbeddingPipeline.from_module(module, trained_on_rows=True)


@pytest.mark.parametrize("make", [Embedder, make_embedding_pipeline])
def test_a_plain_module_is_sent_to_from_module(make):
    with pytest.raises(TypeError, match=r"got MLP. .*EmbeddingPipeline.from_module") as caught:
        make(make_module()).fit(X, y)
    assert "Linear(" not in str(caught.value)


def test_datasets_of_tensors():
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    pipeline = make_pipeline().fit(dataset)
    assert_array_equal(pipeline.predict(dataset), make_pipeline().fit(X, y).predict(X))
