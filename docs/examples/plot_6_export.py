"""
Export: safetensors, torch.export and ONNX
==========================================

Call ``to_module`` to get an ordinary :class:`torch.nn.Module` with the refitted head, and export it
with the tools of your choice. After each export, check that the probabilities are unchanged. This
example needs the extra ``export``.
"""

# %%

import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
import torch
from safetensors.torch import load_file, save_file
from skorch import NeuralNetClassifier

from imblearn_eos import EOS, make_embedding_pipeline
from imblearn_eos.datasets import load_digits_long_tailed
from imblearn_eos.models import SmallCNN

X_train, X_test, y_train, y_test = load_digits_long_tailed(ratio=20, random_state=0)
net = NeuralNetClassifier(
    SmallCNN,
    module__n_classes=10,
    criterion=torch.nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=0.003,
    max_epochs=10,
    train_split=None,
    iterator_train__shuffle=True,
    verbose=0,
)
pipeline = make_embedding_pipeline(net, EOS(n_neighbors=100), random_state=0)
expected = pipeline.fit(X_train, y_train).predict_proba(X_test)

module, images = pipeline.to_module(), torch.from_numpy(X_test)
folder = Path(tempfile.mkdtemp())
logits = {}
with torch.no_grad():
    logits["to_module"] = module(images)

# %%
# A safetensors file holds the weights. Load them into a module of the same class.

save_file(module.state_dict(), folder / "network.safetensors")
again = SmallCNN(n_classes=10).eval()
again.load_state_dict(load_file(folder / "network.safetensors"))
with torch.no_grad():
    logits["safetensors"] = again(images)

# %%
# A program of torch.export runs without the class.

sizes = ({0: torch.export.Dim("n_samples")},)
program = torch.export.export(module, (images[:2],), dynamic_shapes=sizes)
torch.export.save(program, folder / "network.pt2")
with torch.no_grad():
    logits["torch.export"] = torch.export.load(folder / "network.pt2").module()(images)

# %%
# An ONNX file runs without torch.

with warnings.catch_warnings():  # raised inside torch's exporter
    warnings.simplefilter("ignore", FutureWarning)
    torch.onnx.export(
        module,
        (images[:2],),
        folder / "network.onnx",
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=sizes,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
session = onnxruntime.InferenceSession(folder / "network.onnx", providers=["CPUExecutionProvider"])
logits["ONNX"] = torch.from_numpy(session.run(["logits"], {"images": X_test})[0])

# %%
# Probabilities differ only by float32 rounding: the pipeline computes its head in float64, and the
# networks compute in float32.

figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
for row, (name, scores) in enumerate(logits.items()):
    differences = np.abs(scores.softmax(dim=1).numpy() - expected).max(axis=1)
    assert differences.max() < 1e-5
    print(f"{name:12} differs by at most {differences.max():.1e}")
    jitter = np.random.RandomState(0).uniform(-0.3, 0.3, len(differences))
    ax.scatter(np.maximum(differences, 1e-9), row + jitter, s=6, color="#0072B2", alpha=0.4)
ax.set_yticks(range(len(logits)), logits)
ax.invert_yaxis()
ax.set(
    xscale="log", xlim=(1e-9, 1), xlabel="Largest difference of a probability, for each test image"
)
plt.show()

# %%
for file in sorted(folder.iterdir()):
    print(f"{file.name:20} {file.stat().st_size / 1024:.0f} KiB")
    file.unlink()
folder.rmdir()
