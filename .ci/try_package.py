"""Use an installed imblearn-eos without its extras; ``.ci/try-package`` runs this."""

from importlib import import_module
from importlib.resources import files
from pkgutil import iter_modules

from sklearn.datasets import make_classification

import imblearn_eos

folder = files("imblearn_eos")
assert "site-packages" in str(folder), f"{folder} is not an installed package."
for name in ("py.typed", "compare/templates/report.html", "compare/templates/load_head.jinja"):
    assert (folder / name).is_file(), f"The package lacks {name}."

# Without the extras, public modules can be imported.
for module in iter_modules(imblearn_eos.__path__):
    if not module.name.startswith("_"):
        import_module(f"imblearn_eos.{module.name}")

X, y = make_classification(n_samples=200, weights=[0.9], random_state=0)
_, y_resampled = imblearn_eos.EOS(random_state=0).fit_resample(X, y)
assert y_resampled.mean() == 0.5
