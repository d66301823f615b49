"""Soft terms, which make a student answer like its teacher. Each includes its own factor of temperature².

The training computes the total, `alpha * soft + (1 - alpha) * hard`; this file knows neither alpha nor the
hard loss. All terms are written with operations that have batching rules, so that many students can be trained
under `torch.func.vmap` (`F.kl_div` has no such rule).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


def kd(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """KL divergence from the softened teacher to the softened student, times temperature².

    The gradient with respect to the student's logits is temperature * (p_student - p_teacher) / batch. A
    class to which the teacher gives no mass (a logit of -inf, or so low that it underflows) adds nothing,
    even where the student's logit is -inf too.

    Args:
        student: logits, shape (batch, num_outputs).
        teacher: logits, shape (batch, num_outputs); no gradient flows into them.
        temperature: softening, > 0; 1 leaves the distributions as they are.

    Returns:
        sum over classes, mean over the batch, shape (), in nats.

    Source: Hinton, Vinyals, Dean (2015), https://arxiv.org/abs/1503.02531, section 2.
    """
    return temperature**2 * _divergence(student / temperature, teacher / temperature)


def dkd(
    student: Tensor,
    teacher: Tensor,
    *,
    temperature: float,
    labels: Tensor,
    target_weight: float = 1.0,
    others_weight: float = 8.0,
) -> Tensor:
    """Decoupled distillation, which weighs two terms apart: how likely the label is, and how the others compare.

    `kd` is the same with target_weight 1 and, row by row, the teacher's probability of all other classes as
    others_weight; a fixed weight keeps what a confident teacher knows of the other classes. The terms are
    computed from log-sums of logits, so that no probability is rounded to 0 before its logarithm is taken. The
    result is NaN if the teacher gives every class but the label a logit of -inf.

    Args:
        student: logits, shape (batch, num_outputs).
        teacher: logits, shape (batch, num_outputs); no gradient flows into them.
        temperature: softening, > 0.
        labels: int64, shape (batch,).
        target_weight: the weight of the divergence between (label, all others); the paper's alpha.
        others_weight: the weight of the divergence among the others; the paper's beta, which is 1 to 8
            there, depending on the pair of networks; 8 is its figure for resnet32x4 to resnet8x4.

    Returns:
        mean over the batch, shape (), in nats, times temperature².

    Source: Zhao et al. (2022), https://arxiv.org/abs/2203.08679, equation 7 and section 4.
    """
    label = labels[:, None]
    is_label = torch.arange(student.shape[1], device=student.device) == label
    student, teacher = student / temperature, teacher / temperature
    student_others = student.masked_fill(is_label, -torch.inf)
    teacher_others = teacher.masked_fill(is_label, -torch.inf)
    student_pair = torch.cat([student.gather(1, label), student_others.logsumexp(1, keepdim=True)], 1)
    teacher_pair = torch.cat([teacher.gather(1, label), teacher_others.logsumexp(1, keepdim=True)], 1)
    target_term = _divergence(student_pair, teacher_pair)
    others_term = _divergence(student_others, teacher_others)
    return temperature**2 * (target_weight * target_term + others_weight * others_term)


def dist(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """One minus Pearson's correlation of softened outputs, over rows plus over columns, times temperature².

    The rows compare how the classes relate in each sample. The columns compare how the samples relate in each
    class over the batch. Both terms weigh 1, as in the authors' code, from which the factor temperature² comes,
    too. Correlation ignores scale, so the gradient grows with temperature, unlike that of `kd`. A constant row
    or column correlates with nothing: it adds 1 and stays finite.

    Args:
        student: logits, shape (batch, num_outputs).
        teacher: logits, shape (batch, num_outputs); no gradient flows into them.
        temperature: softening, > 0.

    Returns:
        0 (correlated) to 4 temperature² (anticorrelated), shape ().

    Source: Huang et al. (2022), https://arxiv.org/abs/2205.10536, section 3.
    """
    p_student = F.softmax(student / temperature, dim=1)
    p_teacher = F.softmax(teacher.detach() / temperature, dim=1)
    within_rows = 1 - _correlation(p_student, p_teacher, 1).mean()
    within_columns = 1 - _correlation(p_student, p_teacher, 0).mean()
    return temperature**2 * (within_rows + within_columns)


def logit_std(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """`kd` on logits that are standardised row by row, so that their relations are matched and not their spread.

    The term has no other scale: the paper weighs it 9 against .1 for the labels, which is alpha = .99 here, at
    temperature 2. The variance is that of the paper, over K classes (its code divides by K - 1). A constant row
    becomes zeros. The logits must be finite.

    Args:
        student: logits, shape (batch, num_outputs).
        teacher: logits, shape (batch, num_outputs); no gradient flows into them.
        temperature: softening after standardising, > 0.

    Returns:
        mean over the batch, shape (), in nats, times temperature².

    Source: Sun et al. (2024), https://arxiv.org/abs/2403.01427, algorithm 1.
    """
    return kd(_standardise(student), _standardise(teacher), temperature=temperature)


def log_probabilities(probabilities: Tensor) -> Tensor:
    """Logits that stand for probabilities: log(max(p, 1e-7)), so that a 0 stays finite."""
    return probabilities.clamp(min=1e-7).log()


def soft_term(
    loss: Callable[..., Tensor], student: Tensor, teacher: Tensor, labels: Tensor, *, temperature: float
) -> Tensor:
    """The mean of a loss over rows of which only the first ones have a label; a loss that needs labels is `kd` there.

    Args:
        loss: a distillation loss.
        student: logits, shape (batch, num_outputs).
        teacher: logits, shape (batch, num_outputs).
        labels: the labels of the first rows, int64; they may be fewer than the batch.
        temperature: softening, > 0.
    """
    split = len(labels)
    if not takes_labels(loss):
        return loss(student, teacher, temperature=temperature)
    if not split:
        return kd(student, teacher, temperature=temperature)
    labelled = loss(student[:split], teacher[:split], temperature=temperature, labels=labels)
    if split == len(student):
        return labelled
    unlabelled = kd(student[split:], teacher[split:], temperature=temperature)
    share = split / len(student)
    return share * labelled + (1 - share) * unlabelled


def takes_labels(loss: Callable[..., Tensor]) -> bool:
    """Whether a loss has a parameter `labels`, and so can be used on labelled rows only."""
    try:
        return _takes_labels(loss)
    except TypeError:  # an object without a hash cannot be remembered
        return "labels" in inspect.signature(loss).parameters


@lru_cache
def _takes_labels(loss: Callable[..., Tensor]) -> bool:
    return "labels" in inspect.signature(loss).parameters


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(softmax(teacher) || softmax(student)), mean over rows; 0 log 0 is 0, and NaN stays NaN."""
    log_teacher = F.log_softmax(teacher.detach(), dim=1)
    log_student = F.log_softmax(student, dim=1)
    p_teacher = log_teacher.exp()
    terms = (p_teacher * (log_teacher - log_student)).masked_fill(p_teacher == 0, 0.0)
    return terms.sum() / student.shape[0]


def _correlation(a: Tensor, b: Tensor, dim: int) -> Tensor:
    """Pearson's correlation along `dim`; 0 if either side varies by less than float32 can tell."""
    a = a - a.mean(dim, keepdim=True)
    b = b - b.mean(dim, keepdim=True)
    return F.cosine_similarity(a, b, dim=dim, eps=1e-6)


def _standardise(logits: Tensor) -> Tensor:
    """The logits with mean 0 and variance 1 in each row, in one kernel; 1e-7 keeps a constant row finite."""
    return F.layer_norm(logits, logits.shape[1:], eps=1e-7)
