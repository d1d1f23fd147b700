"""EmbeddingPipeline.from_module with models of transformers, small and of random weights."""

import numpy as np
import pytest
import torch
from networks import make_tokens
from numpy.testing import assert_allclose

from imblearn_eos import EmbeddingPipeline


@pytest.fixture(scope="module")
def bert():
    transformers = pytest.importorskip("transformers")
    # transformers imports torchvision if it is installed.
    pytest.importorskip("backbones").declare_torchvision_operators()
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        num_labels=2,
    )
    torch.manual_seed(0)
    return transformers, config


def make_texts():
    tokens, labels = make_tokens()
    return {"input_ids": tokens["tokens"], "attention_mask": (tokens["mask"] > 0).astype(int)}, (
        np.array(["bad", "fair", "good"])[labels]
    )


def test_a_classifier_of_transformers_goes_back_as_one_module(bert, tmp_path):
    transformers, config = bert
    texts, labels = make_texts()
    module = transformers.BertForSequenceClassification(config).eval()
    pipeline = EmbeddingPipeline.from_module(module, trained_on_rows=True).fit(texts, labels)
    returned = pipeline.to_module()
    inputs = {name: torch.from_numpy(values) for name, values in texts.items()}
    with torch.no_grad():
        logits = returned(**inputs).logits
    assert_allclose(logits.softmax(dim=1), pipeline.predict_proba(texts), atol=1e-5)
    assert returned.config.id2label == {0: "bad", 1: "fair", 2: "good"}
    assert module.config.num_labels == 2
    returned.save_pretrained(tmp_path)
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert_allclose(loaded(**inputs).logits, logits, atol=1e-6)


def test_a_model_of_transformers_without_head_gets_one(bert):
    transformers, config = bert
    texts, labels = make_texts()
    module = transformers.BertModel(config).eval()
    pipeline = EmbeddingPipeline.from_module(module, trained_on_rows=False).fit(texts, labels)
    inputs = {name: torch.from_numpy(values) for name, values in texts.items()}
    with torch.no_grad():
        assert_allclose(
            pipeline["embedder"].transform(texts), module(**inputs).pooler_output, atol=1e-5
        )
        logits = pipeline.to_module()(**inputs)
    assert_allclose(logits.softmax(dim=1), pipeline.predict_proba(texts), atol=1e-5)
