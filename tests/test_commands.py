"""The command on photos, texts and embeddings."""

import errno
import json
import subprocess
import sys

import numpy as np
import pytest

import imblearn_eos.embedding
from imblearn_eos import cli
from imblearn_eos._commands import _compare, _describe, _embed, _options
from imblearn_eos.datasets._readers import read

SAMPLERS = ["--seeds", "1", "--samplers", "smote"]
BACKBONE = """
import numpy as np
import torch


def make():
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()
    )

    def preprocess(image):
        pixels = np.asarray(image.convert("RGB").resize((12, 12)), dtype=np.float32) / 255
        return torch.from_numpy(pixels).permute(2, 0, 1)

    return module, preprocess
"""


class Extractor:
    """What the command needs of a FeatureExtractor: each image becomes its mean colors."""

    description_ = "mean colors"

    def __init__(self, backbone, **params):
        self.params = params
        made.append(self)

    def fit(self, X):
        return self

    def transform(self, X):
        blocks = [Z for _, Z in self.iter_transform(X, block_size=len(X))]
        return np.concatenate(blocks)

    def iter_transform(self, X, block_size):
        from PIL import Image

        self.failed_ = {}
        for start in range(0, len(X), block_size):
            rows = []
            for row in range(start, min(start + block_size, len(X))):
                try:
                    if isinstance(X[row], str) and X[row].endswith("png"):
                        pixels = np.asarray(Image.open(X[row]).convert("RGB"))
                    else:
                        pixels = np.full((1, 1, 3), len(X[row]))
                    rows.append(pixels.mean(axis=(0, 1)))
                except OSError as error:
                    self.failed_[row] = str(error)
                    rows.append(np.full(3, np.nan))
            yield start, np.array(rows, dtype=np.float32)


made = []


@pytest.fixture
def backbone(monkeypatch):
    made.clear()
    monkeypatch.setattr(imblearn_eos.embedding, "FeatureExtractor", Extractor, raising=False)
    return "colors"


@pytest.fixture
def photos(tmp_path):
    """Return a folder of photos of two classes; the pixels of one are cut off."""
    image = pytest.importorskip("PIL.Image", reason="needs Pillow")
    random_state = np.random.RandomState(0)
    for name, n_photos, brightness in (("dark", 30, 100), ("light", 12, 150)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(n_photos):
            pixels = random_state.randint(0, brightness, (20, 24, 3), dtype=np.uint8)
            image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    path = tmp_path / "photos" / "dark" / "7.png"
    path.write_bytes(path.read_bytes()[:300])
    return tmp_path / "photos"


def run(*arguments):
    return cli.main([*map(str, arguments)])


def error_of(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        run(*arguments)
    assert end.value.code == 2
    return capsys.readouterr().err


# --- photos and texts -----------------------------------------------------------------------------


def test_photos_without_a_network_show_both_lines(photos, capsys):
    message = error_of(capsys, "compare", "--data", photos)
    assert f"\n    imblearn-eos compare --data {photos} --backbone timm/" in message
    assert message.endswith(f"\n    imblearn-eos compare --data {photos} --train\n")


def test_offered_lines_keep_the_arguments_that_apply(photos, capsys):
    arguments = "--classifier", "forest", "--epochs", 3, "--memory=cache", "--seeds", 2, "--lr=0.1"
    message = error_of(capsys, "compare", *arguments, "--data", photos)
    data = f"--data {photos}"
    assert f"\n    imblearn-eos compare --memory=cache --seeds 2 {data} --backbone" in message
    train = f"imblearn-eos compare --epochs 3 --seeds 2 --lr=0.1 {data} --train\n"
    assert message.endswith(f"\n    {train}")


def test_photos_that_cannot_be_read_are_left_out_and_listed(photos, backbone, tmp_path, capsys):
    path = tmp_path / "results.json"
    arguments = "--data", photos, "--backbone", backbone, "--json", path, "--memory", "cache"
    assert run("compare", *arguments, *SAMPLERS) == 0
    captured = capsys.readouterr()
    assert "Left out 1 of 42 photos that cannot be read: dark/7.png (" in captured.err
    assert "41 embeddings of 3 numbers, 2 classes" in captured.out
    assert "Assumed: the network was not trained on these rows." in captured.out
    record = json.loads(path.read_text())
    assert record["arguments"]["backbone"] == "colors"
    assert record["arguments"]["trained_on_rows"] is False
    assert record["data"]["embedder"] == "mean colors"
    (entry,) = record["data"]["unreadable"]
    assert (entry["name"], entry["label"]) == ("dark/7.png", "dark")
    assert str(photos) not in entry["problem"]
    assert record["runs"][0]["validation"].keys() == {"none", "logit_adjustment", "smote"}
    assert made[0].params["on_error"] == "nan"
    assert made[0].params["memory"] == "cache"


def break_headers(photos, names, content=b"no image"):
    for name in names:
        (photos / name).write_bytes(content)


def test_photos_with_bad_headers_are_left_out_and_listed_everywhere(
    photos, backbone, tmp_path, capsys
):
    pytest.importorskip("jinja2", reason="needs jinja2, of the extra 'report'")
    names = [f"dark/{number}.png" for number in range(10, 21)]
    break_headers(photos, names)
    folder = tmp_path / "report"
    arguments = "--data", photos, "--backbone", backbone
    assert run("compare", *arguments, "--report", folder, *SAMPLERS) == 0
    listed = "dark/10.png (UnidentifiedImageError), dark/11.png"
    captured = capsys.readouterr()
    assert captured.err.count("Left out 12 of 42 photos that cannot be read: ") == 1
    assert listed in captured.err
    assert "30 embeddings of 3 numbers" in captured.out
    unreadable = json.loads((folder / "results.json").read_text())["data"]["unreadable"]
    assert [entry["name"] for entry in unreadable] == [*names, "dark/7.png"]
    for file in ("report.html", "README.md"):
        content = (folder / file).read_text(encoding="utf-8")
        assert listed in content
        assert "dark/19.png (UnidentifiedImageError) and 2 others." in content
    assert run("embed", *arguments, "--output", tmp_path / "a.npz") == 0
    captured = capsys.readouterr()
    assert listed in captured.err
    assert "with 30 embeddings" in captured.out
    assert not {*names, "dark/7.png"} & {*read(tmp_path / "a.npz").ids}


@pytest.mark.parametrize("command", [["compare", *SAMPLERS], ["embed", "--output", "a.npz"]])
@pytest.mark.parametrize("content", ["header", "pixels"])
def test_no_readable_photo_is_one_error(
    photos, backbone, tmp_path, capsys, command, content, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    cut = (photos / "dark" / "7.png").read_bytes()
    names = [file.relative_to(photos) for file in photos.glob("*/*.png")]
    break_headers(photos, names, cut if content == "pixels" else b"")
    message = error_of(capsys, *command, "--data", photos, "--backbone", backbone)
    assert message.count("imblearn-eos: error: ") == message.count("\n") == 1
    assert "dark/0.png (" in message
    assert "others" in message or "32 more" in message
    assert not (tmp_path / "a.npz").exists()


@pytest.mark.parametrize("content", ["header", "pixels"])
def test_class_without_readable_photos_is_an_error_of_compare(photos, backbone, capsys, content):
    cut = (photos / "dark" / "7.png").read_bytes()
    names = [file.relative_to(photos) for file in photos.glob("light/*.png")]
    break_headers(photos, names, cut if content == "pixels" else b"")
    message = error_of(capsys, "compare", "--data", photos, "--backbone", backbone, *SAMPLERS)
    n_bad = 13 if content == "pixels" else 12
    assert f"Left out {n_bad} of 42 photos that cannot be read: " in message
    assert "No photos of the classes ['light'] are left to train on" in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Class light has 1 row"),
        (["--alpha", "-1"], "'alpha'"),
        (["--test-size", "2"], "'test_"),
    ],
)
def test_what_stops_a_comparison_is_found_before_photos_are_embedded(
    photos, backbone, capsys, monkeypatch, arguments, words
):
    monkeypatch.setattr(Extractor, "fit", pytest.fail)
    for file in list(photos.glob("light/*.png"))[1 if not arguments else 12 :]:
        file.unlink()
    line = "compare", "--data", photos, "--backbone", backbone, *SAMPLERS, *arguments
    assert words in error_of(capsys, *line)


def test_class_whose_training_photos_all_have_bad_headers_is_listed(
    photos, backbone, tmp_path, capsys
):
    for file in photos.glob("light/*.png"):
        target = tmp_path / "test" / "light" / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
        file.write_bytes(b"")
    line = "compare", "--data", photos, "--test", tmp_path / "test", "--backbone", backbone
    message = error_of(capsys, *line, *SAMPLERS)
    assert "light/0.png (UnidentifiedImageError)" in message
    assert "No photos of the classes ['light'] are left to train on" in message


def test_part_that_lost_all_photos_is_an_error(photos, backbone, tmp_path, capsys):
    cut = (photos / "dark" / "7.png").read_bytes()
    for name in ("dark", "light"):
        (tmp_path / "test" / name).mkdir(parents=True)
        (tmp_path / "test" / name / "1.png").write_bytes(cut)
    line = "compare", "--data", photos, "--test", tmp_path / "test", "--backbone", backbone
    message = error_of(capsys, *line, *SAMPLERS)
    assert "Left out 3 of 44 photos" in message
    assert "Nothing is left of the part 'test'." in message


def test_warnings_are_one_line_without_code(photos, backbone, tmp_path, capsys):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow")
    frames = [image.new("RGB", (8, 8), 3 * (level,)) for level in (0, 255)]
    frames[0].save(photos / "dark" / "a.gif", save_all=True, append_images=frames[1:])
    line = "embed", "--data", photos, "--backbone", backbone, "--output", tmp_path / "a.npz"
    assert run(*line) == 0
    message = "\nWarning: 1 of the image files have several frames"
    assert f"\n{capsys.readouterr().err}".count(message) == 1
    error = error_of(capsys, "compare", "--data", photos, "--train")
    assert f"\n{error}".count(message) == 1


def test_report_of_photos_shows_them(photos, backbone, tmp_path, capsys):
    pytest.importorskip("jinja2", reason="needs jinja2, of the extra 'report'")
    folder = tmp_path / "report"
    arguments = "--data", photos, "--backbone", backbone, "--report", folder
    assert run("compare", *arguments, *SAMPLERS) == 0
    assert (folder / "report.html").exists()
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "41 photos of 2 classes" in card
    page = (folder / "report.html").read_text(encoding="utf-8")
    for words in ("of the photos of the rarest class", "on the test photos", "training photos"):
        assert words in page
    assert "test rows" not in page + card
    assert "photos of the rarest class" in capsys.readouterr().out
    assert "\npipeline_tag: image-classification\n" in card
    if (folder / "load.py").exists():
        assert "Return the embeddings of image files, or of one" in (folder / "load.py").read_text()


def test_embedded_file_gives_the_same_scores_as_the_photos(photos, backbone, tmp_path, capsys):
    pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra 'embeddings'")
    files = [tmp_path / "embeddings.parquet", tmp_path / "embeddings.npz", tmp_path / "shards"]
    for file in files:
        run("embed", "--data", photos, "--backbone", backbone, "--output", file)
        captured = capsys.readouterr()
        assert "with 41 embeddings of 3 numbers" in captured.out
        assert "Left out 1 of 42 photos" in captured.err
    scores = []
    for arguments in [(photos, "--backbone", backbone), *[(file,) for file in files]]:
        path = tmp_path / "results.json"
        run("compare", "--data", *arguments, *SAMPLERS, "--json", path, "--overwrite")
        scores.append(json.loads(path.read_text())["runs"][0]["methods"]["smote"]["scores"])
    assert scores[1:] == scores[:1] * 3


def test_compare_draws_rows_from_shards(photos, backbone, tmp_path, capsys):
    pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra 'embeddings'")
    run("embed", "--data", photos, "--backbone", backbone, "--output", tmp_path / "shards")
    path = tmp_path / "results.json"
    arguments = ("--data", tmp_path / "shards", "--sample", 30, *SAMPLERS, "--json", path)
    run("compare", *arguments)
    assert "30 embeddings of 3 numbers (drawn from 41), 2 classes" in capsys.readouterr().out
    record = json.loads(path.read_text())
    assert record["data"]["sampled_from"] == 41
    assert record["arguments"]["sample"] == 30
    message = error_of(capsys, "compare", "--data", photos, "--sample", 3)
    assert "--sample does not apply to" in message


def test_embeddings_are_written_block_by_block(photos, backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(_embed, "BLOCK_ROWS", 4)
    run("embed", "--data", photos, "--backbone", backbone, "--output", tmp_path / "a.npz")
    data = read(tmp_path / "a.npz")
    assert data.y.tolist() == ["dark"] * 29 + ["light"] * 12
    assert "dark/7.png" not in data.ids
    assert np.isfinite(data.X).all()


@pytest.mark.parametrize("command", [["compare", *SAMPLERS], ["embed", "--output", "texts.npz"]])
def test_texts_are_embedded(command, backbone, tmp_path, monkeypatch, capsys):
    pytest.importorskip("pandas", reason="needs pandas, of the extra 'tables'")
    monkeypatch.chdir(tmp_path)
    lines = [f"{'word ' * (i % 7 + 1 + 9 * (i % 3 == 0))},{i % 3 == 0}" for i in range(60)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,is_long", *lines]))
    data = ["--data", "texts.csv", "--text", "text", "--target", "is_long"]
    if command[0] == "compare":
        line = " ".join(["imblearn-eos", *command, *data, "--backbone sentence-transformers/"])
        assert f"\n    {line}" in error_of(capsys, *command, *data)
    assert run(*command, *data, "--backbone", backbone) == 0


def test_given_parts_are_used(photos, backbone, tmp_path, capsys):
    (tmp_path / "test").mkdir()
    for name in ("dark", "light"):
        (tmp_path / "test" / name).mkdir()
        for number in range(3):
            source = photos / name / f"{number}.png"
            source.rename(tmp_path / "test" / name / f"{number}.png")
    arguments = "--data", photos, "--test", tmp_path / "test", "--backbone", backbone
    assert run("compare", *arguments, *SAMPLERS) == 0
    output = capsys.readouterr().out
    assert "Split: given (6 test, 35 train)" in output


def test_backbone_of_a_file_embeds_photos(photos, tmp_path, capsys):
    file = tmp_path / "backbone.py"
    file.write_text(BACKBONE)
    arguments = "--data", photos, "--backbone", f"{file}:make", "--n-jobs", 1
    assert run("compare", *arguments, *SAMPLERS) == 0
    assert "41 embeddings of 16 numbers" in capsys.readouterr().out
    output = tmp_path / "embeddings.npz"
    assert run("embed", *arguments, "--output", output) == 0
    assert read(output).X.shape == (41, 16)


# --- embeddings -----------------------------------------------------------------------------------


@pytest.fixture
def embeddings(tmp_path):
    random_state = np.random.RandomState(0)
    y = np.repeat([0, 1], [60, 20])
    np.savez(tmp_path / "embeddings.npz", X=random_state.normal(size=(80, 6)) + y[:, None], y=y)
    return tmp_path / "embeddings.npz"


def test_embeddings_of_a_trained_network_are_not_scored(embeddings, tmp_path, capsys):
    path = tmp_path / "results.json"
    arguments = "--data", embeddings, "--trained-on-rows", "--json", path, "--seeds", 3
    assert run("compare", *arguments) == 0
    output = capsys.readouterr().out
    assert "Assumed: the network was trained on these rows." in output
    assert "There are no scores and no recommendation, because" in output
    content = json.loads(path.read_text())
    assert content["arguments"]["trained_on_rows"] is True
    assert content["complete"]
    assert len(content["runs"]) == 1
    assert content["runs"][0]["methods"]["eos"]["scores"] == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--train"], ["--train does not apply", "compared as embeddings"]),
        (["--backbone", "x"], ["--backbone embeds photos and texts", "are embeddings"]),
        (["--epochs", "3"], ["--epochs does not apply"]),
        (["--memory", "x"], ["--memory does not apply"]),
        (["--classifier", "forest"], ["--classifier does not apply"]),
        (["--json", "nowhere/x.json"], ["The folder", "nowhere of --json does not exist"]),
    ],
)
def test_option_that_does_not_apply_to_embeddings_is_named(
    embeddings, backbone, capsys, arguments, words
):
    message = error_of(capsys, "compare", "--data", embeddings, *arguments)
    assert message.count("\n") == 1
    for word in words:
        assert word in message


def test_output_of_embed_is_not_replaced_without_overwrite(photos, backbone, embeddings, capsys):
    arguments = "embed", "--data", photos, "--backbone", backbone, "--output", embeddings
    assert "exists. Pass --overwrite" in error_of(capsys, *arguments)
    assert run(*arguments, "--overwrite") == 0
    assert read(embeddings).X.shape == (41, 3)


@pytest.mark.parametrize("name", ["Z.parquet", "Z.npz", "Z"])
def test_output_of_embed_is_known_to_be_writable_before_the_work(
    name, photos, backbone, tmp_path, capsys, monkeypatch
):
    def fail(dir):
        raise OSError(errno.EACCES, "Permission denied", f"{dir}/random name")

    monkeypatch.setattr(_options, "TemporaryFile", fail)
    output = tmp_path / name
    message = error_of(
        capsys, "embed", "--data", photos, "--backbone", backbone, "--output", output
    )
    assert f"--output {output} cannot be written ({tmp_path}: Permission denied)" in message
    assert made == []


def test_memory_of_embed_is_known_to_be_a_folder_before_the_work(
    photos, backbone, tmp_path, capsys
):
    memory = photos / "dark" / "0.png"
    arguments = "--data", photos, "--backbone", backbone, "--output", tmp_path / "Z.npz"
    message = error_of(capsys, "embed", *arguments, "--memory", memory)
    assert f"--memory {memory} cannot be written" in message
    assert made == []


# --- training and interrupts ----------------------------------------------------------------------


def test_training_says_what_it_costs_before_it_starts(photos, capsys, monkeypatch):
    (photos / "dark" / "7.png").unlink()
    monkeypatch.setattr(_describe, "MANY_SECONDS", 0)
    arguments = "--data", photos, "--train", "--image-size", 8, "--epochs", 1, *SAMPLERS
    assert run("compare", *arguments) == 0
    output = capsys.readouterr().out
    assert "typically 20 x 24 pixels, are reduced to 8 x 8" in output
    assert "Training takes about 1 minutes: 2 networks of 1 epochs." in output
    line = f"imblearn-eos compare --data {photos} {' '.join(SAMPLERS)} --backbone timm/resnet50"
    assert line in output
    assert output.index("Training takes") < output.index("Train:")


def test_announced_training_counts_the_network_of_the_model(photos, tmp_path, capsys, monkeypatch):
    (photos / "dark" / "7.png").unlink()
    monkeypatch.setattr(_describe, "MANY_SECONDS", 0)
    arguments = "--data", photos, "--train", "--image-size", 8, "--epochs", 1, *SAMPLERS
    assert run("compare", *arguments, "--report", tmp_path / "report") == 0
    assert ": 3 networks of 1 epochs." in capsys.readouterr().out


def test_interrupt_while_the_report_is_drawn_says_what_was_kept(
    embeddings, tmp_path, capsys, monkeypatch
):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(_compare, "write_files", interrupt)
    folder = tmp_path / "report"
    arguments = "--data", embeddings, *SAMPLERS, "--report", folder
    assert run("compare", *arguments) == 130
    captured = capsys.readouterr()
    assert f"The report is not complete. Kept: {folder / 'results.json'}\n" in captured.err
    assert captured.err.endswith("Interrupted.\n")
    assert json.loads((folder / "results.json").read_text())["complete"]


def test_help_and_version_import_no_command():
    code = (
        "import sys; from imblearn_eos import cli\n"
        "try: cli.main([sys.argv[1]])\n"
        "except SystemExit: pass\n"
        "print([m for m in sys.modules if m.startswith('imblearn_eos._commands.')])"
    )
    for option, word in (("--version", "imblearn-eos 0."), ("--help", "embed")):
        done = subprocess.run(
            [sys.executable, "-c", code, option], capture_output=True, text=True, check=True
        )
        assert word in done.stdout
        assert done.stdout.endswith("[]\n")
