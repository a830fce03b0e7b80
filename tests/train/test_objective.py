"""The proof that a night's loss is right: a real batch through a real model, against full logits."""
import pytest
import torch

from edge_sleep.data.dataset import collate, tokenise_all
from edge_sleep.data.experience import Example
from edge_sleep.train.objective import chunked_objective
from tests import micro


@pytest.fixture(scope="module")
def model_and_batch(tmp_path_factory):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = micro.make_model(tmp_path_factory.mktemp("model"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    examples = [Example(({"role": "user", "content": prompt}, {"role": "assistant", "content": answer}),
                        weight, "new", "x") for (prompt, answer), weight in zip(micro.TALK, (1.5, 0.5, 1.0, 1.0), strict=True)]
    tokenised, _ = tokenise_all(tokenizer, examples, "Be kind.", 512)
    return model, tokenised, collate(tokenised, tokenizer.pad_token_id)


def full_logits_loss(model, tokenised, batch):
    """Straight from the definition: shift, mask everything but the companion's words, weight, normalise."""
    labels = torch.full_like(batch["input_ids"], -100)
    weights = torch.zeros(labels.shape)
    for row, example in enumerate(tokenised):
        labels[row, example.start:example.end] = torch.tensor(example.ids[example.start:example.end])
        weights[row, example.start:example.end] = example.weight
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.float()
    losses = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(),
                                               ignore_index=-100, reduction="none").view(labels[:, 1:].shape)
    return (losses * weights[:, 1:]).sum() / weights.sum()


def test_loss_and_gradients_equal_full_logits(model_and_batch):
    model, tokenised, batch = model_and_batch
    denominator = sum(example.weight * example.supervised for example in tokenised)
    loss_of, reason = chunked_objective(model, chunk=7)
    assert "chunked" in reason
    names = [name for name, _ in model.named_parameters() if "proj" in name]

    def gradients(loss):
        model.zero_grad()
        loss.backward()
        return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if name in names}

    ours = loss_of(model, batch, denominator)
    theirs = full_logits_loss(model, tokenised, batch)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=0)
    for (name, mine), oracle in zip(gradients(ours).items(), gradients(theirs).values(), strict=True):
        # float32 sums over a few hundred terms in another order
        torch.testing.assert_close(mine, oracle, rtol=1e-3, atol=2e-7, msg=name)


def test_padding_changes_nothing(model_and_batch):
    model, tokenised, batch = model_and_batch
    loss_of, _ = chunked_objective(model, chunk=16)
    alone = sum(loss_of(model, collate([example], 0), 1.0).item() for example in tokenised)
    assert loss_of(model, batch, 1.0).item() == pytest.approx(alone, rel=1e-5)


def test_an_architecture_that_changes_logits_after_the_head_uses_full_logits(model_and_batch):
    model, tokenised, batch = model_and_batch
    model.config.final_logit_softcapping = 30.0
    try:
        loss_of, reason = chunked_objective(model, chunk=16)
        denominator = sum(example.weight * example.supervised for example in tokenised)
        assert "full logits" in reason
        torch.testing.assert_close(loss_of(model, batch, denominator), full_logits_loss(model, tokenised, batch))
    finally:
        model.config.final_logit_softcapping = None
