"""The teacher of the studies on texts: two models of scikit-learn, whose probabilities are averaged.

    teacher: {sklearn: "studies/texts.py:two_models"}

One is a linear support vector machine on words, pairs of words, and pieces of words, with calibrated probabilities.
The other is naive Bayes on words and pairs of words. Both read the texts themselves.
"""

from __future__ import annotations

from typing import Any

from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.naive_bayes import ComplementNB
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC


def two_models() -> Any:
    """An unfitted classifier of texts. Fitting it on 6,920 sentences takes about 10 seconds."""
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 6), min_df=2, sublinear_tf=True)
    machine = CalibratedClassifierCV(LinearSVC(C=0.3, random_state=0), cv=5)
    models = [
        ("machine", make_pipeline(make_union(_words(1), letters), machine)),
        ("bayes", make_pipeline(_words(2), ComplementNB(alpha=0.5))),
    ]
    return VotingClassifier(models, voting="soft")


def _words(in_texts: int) -> Any:
    """Weights of words and pairs of words that are in at least so many texts. What spaces separate is a word."""
    return TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", min_df=in_texts, sublinear_tf=True)
