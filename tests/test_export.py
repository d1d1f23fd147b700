"""What becomes of the module of a pipeline: programs, weights in files, other runtimes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from networks import make_net
from numpy.testing import assert_allclose
from torch import nn

from imblearn_eos import EOS, make_embedding_pipeline
from imblearn_eos.datasets import load_digits_long_tailed
from imblearn_eos.losses import LDAMLoss
from imblearn_eos.models import NormalizedLinear, ResNet, SmallCNN
from imblearn_eos.training import ChannelsLast

X_train, X_test, y_train, _ = load_digits_long_tailed(random_state=0)
IMAGES = torch.from_numpy(X_test[:50])
BATCHES = [1, 2, 3, 50]

# For each network its module as a user would build it to load weights, and how it is trained.
RESNET = {"module__depth": 8, "module__in_channels": 1}
NETWORKS = {
    "SmallCNN": (lambda: SmallCNN(10), SmallCNN, {}),
    "ResNet": (lambda: ResNet(10, depth=8, in_channels=1), ResNet, RESNET),
    "ResNet, channels last, normalized head": (
        lambda: ResNet(10, depth=8, in_channels=1),
        ResNet,
        {
            **RESNET,
            "module__head": NormalizedLinear,
            "criterion": LDAMLoss,
            "callbacks": [ChannelsLast()],
        },
    ),
}


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request):
    """Return a network of the same class, the module of a pipeline, and its probabilities."""
    make, module, params = NETWORKS[request.param]
    net = make_net(
        module, module__n_classes=10, max_epochs=2, optimizer=torch.optim.Adam, lr=0.01, **params
    )
    pipeline = make_embedding_pipeline(net, EOS(n_neighbors=100), random_state=0)
    pipeline.fit(X_train, y_train)
    expected = pipeline.predict_proba(X_test[:50])
    # Otherwise nearly any network would do.
    assert expected.std(axis=0).max() > 0.1
    return make, pipeline.to_module(), expected


def assert_gives(run, expected):
    """Check the probabilities of batches of several sizes."""
    for size in BATCHES:
        with torch.no_grad():
            probabilities = torch.as_tensor(run(IMAGES[:size])).softmax(dim=1)
        assert_allclose(probabilities, expected[:size], atol=1e-5)


def test_module(exported):
    _, module, expected = exported
    assert_gives(module, expected)


def test_exported_program(exported):
    _, module, expected = exported
    sizes = ({0: torch.export.Dim("n_samples")},)
    program = torch.export.export(module, (IMAGES[:2],), dynamic_shapes=sizes)
    assert_gives(program.module(), expected)


def test_weights_in_a_safetensors_file(exported, tmp_path):
    safetensors = pytest.importorskip(
        "safetensors.torch", reason="needs safetensors, from the extra 'export'"
    )
    make, module, expected = exported
    file = tmp_path / "network.safetensors"
    # ChannelsLast leaves weights that are not contiguous, which safetensors refuses.
    weights = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    safetensors.save_file(weights, file)
    again = make().eval()
    again.load_state_dict(safetensors.load_file(file))
    assert_gives(again, expected)
    assert type(again.head) is type(module.head) is nn.Linear


def test_onnx_file(exported, tmp_path):
    for library in ("onnx", "onnxscript"):
        pytest.importorskip(library, reason=f"needs {library}, from the extra 'export'")
    onnxruntime = pytest.importorskip(
        "onnxruntime", reason="needs onnxruntime, from the extra 'export'"
    )
    _, module, expected = exported
    file = tmp_path / "network.onnx"
    torch.onnx.export(
        module,
        (IMAGES[:2],),
        file,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("n_samples")},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert_gives(lambda images: session.run(None, {"images": images.numpy()})[0], expected)


# --- pickles --------------------------------------------------------------------------------------

# Every unpickler of Python tells the interpreter about each class and function that it looks up;
# torch's restricted one does not, hence the patch.
WATCH_UNPICKLING = """
import sys
import numpy as np
import torch
from networks import make_data, make_net
from torch.utils.data import TensorDataset
from imblearn_eos import make_embedding_pipeline
from imblearn_eos.datasets import load_npz

X, y = make_data()
pipeline = make_embedding_pipeline(make_net(), memory=sys.argv[1] or None, random_state=0)
np.savez(sys.argv[2], X=X.reshape(-1, 2, 3), y=y)
unpickled = []
sys.addaudithook(lambda event, args: event == "pickle.find_class" and unpickled.append(args))
load = torch.load
torch.load = lambda *args, **kwargs: unpickled.append(args) or load(*args, **kwargs)

pipeline.fit(X, y).fit(X, y)
pipeline.fit(TensorDataset(torch.from_numpy(X), torch.from_numpy(y)))
pipeline["embedder"].transform(X)
pipeline.predict_proba(X)
module = pipeline.to_module()
load_npz(sys.argv[2])
print(len(unpickled))
"""


@pytest.mark.parametrize("memory", [False, True])
def test_nothing_is_unpickled_except_from_the_cache(memory, tmp_path):
    folder = tmp_path / "cache" if memory else ""
    output = subprocess.check_output(
        [sys.executable, "-c", WATCH_UNPICKLING, folder, tmp_path / "data.npz"],
        cwd=Path(__file__).parent,
    )
    # The cache shows that unpickling does not go unnoticed.
    assert (int(output) > 0) == memory
