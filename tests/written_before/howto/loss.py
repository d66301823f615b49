"""A distillation loss: the squared difference of softened probabilities, a Brier score against the teacher."""


def brier(student, teacher, *, temperature):
    """Summed over classes, mean over the batch; times temperature², so that its gradient keeps its size."""
    p_student = (student / temperature).softmax(dim=1)
    p_teacher = (teacher.detach() / temperature).softmax(dim=1)
    return temperature**2 * (p_student - p_teacher).square().sum(dim=1).mean()
