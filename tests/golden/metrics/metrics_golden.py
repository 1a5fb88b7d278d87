# SPDX-License-Identifier: Apache-2.0
"""Metrics by scikit-learn for metrics_test.cc: tools/oracle metrics/metrics_golden.py OUT_DIRECTORY

Writes OUT/cases.json, a list of random splits with what every metric is (null where it is not defined),
OUT/intervals.json, splits with bootstrap intervals, and OUT/logistic.json, sparse data with the optimum of
LogisticRegression. What scikit-learn does not have (ECE, alerts, DeLong, the resampling) is written out here from its
definition.
"""
import json
import math
import os
import sys
import warnings

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import logsumexp, softmax
from sklearn import metrics
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

BINS = 15


def ece(probabilities, labels):
    if probabilities.shape[1] == 2:
        confidence, true = probabilities[:, 1], labels == 1
    else:
        confidence, true = probabilities.max(1), labels == probabilities.argmax(1)
    total, bins = 0.0, np.minimum(BINS - 1, np.floor(confidence * BINS).astype(int))
    for b in np.unique(bins):
        total += (bins == b).mean() * abs(confidence[bins == b].mean() - true[bins == b].mean())
    return total


def mean_over_classes(function, probabilities, labels):
    """One class against the rest; null where one of them has no positives or, for AUROC, no negatives."""
    classes = range(1, 2) if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    figures = []
    for c in classes:
        truth = labels == c
        if not truth.any() or (function is metrics.roc_auc_score and truth.all()):
            return None
        figures.append(function(truth, probabilities[:, c]))
    return float(np.mean(figures))


def brier(probabilities, labels):
    if probabilities.shape[1] == 2:
        return metrics.brier_score_loss(labels, probabilities[:, 1], pos_label=1)
    return metrics.brier_score_loss(labels, probabilities, labels=range(probabilities.shape[1]))


def ratio(a, b):
    return float(a / b) if b else None


def alerts(risks, labels, threshold):
    alert, positive = risks >= threshold, labels > 0
    return {"alert_rate": float(alert.mean()), "ppv": ratio((alert & positive).sum(), alert.sum()),
            "sensitivity": ratio((alert & positive).sum(), positive.sum()),
            "specificity": ratio((~alert & ~positive).sum(), (~positive).sum())}


def figures(logits, labels, threshold):
    probabilities, predicted = softmax(logits, axis=1), logits.argmax(1)
    out = {"loss": float(np.mean(logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels])),
           "accuracy": float(metrics.accuracy_score(labels, predicted))}
    if probabilities.min() > 1e-9:  # it clips probabilities
        reference = metrics.log_loss(labels, probabilities, labels=range(logits.shape[1]))
        assert math.isclose(out["loss"], reference, rel_tol=1e-9), (out["loss"], reference)
    for average in ("weighted", "macro"):
        p, r, f, _ = metrics.precision_recall_fscore_support(labels, predicted, average=average)
        out |= {f"precision_{average}": float(p), f"recall_{average}": float(r), f"f1_{average}": float(f)}
    out["auroc"] = mean_over_classes(metrics.roc_auc_score, probabilities, labels)
    if logits.shape[1] > 2 and out["auroc"] is not None:
        reference = metrics.roc_auc_score(labels, probabilities, multi_class="ovr")
        assert math.isclose(out["auroc"], reference, rel_tol=1e-12), (out["auroc"], reference)
    out["auprc"] = mean_over_classes(metrics.average_precision_score, probabilities, labels)
    out["brier"], out["ece"] = float(brier(probabilities, labels)), float(ece(probabilities, labels))
    return out | alerts(probabilities[:, 1:].sum(1), labels, threshold)


def delong_standard_error(scores, positive):
    """From the kernel matrix: DeLong, DeLong, Clarke-Pearson 1988."""
    x, y = scores[positive], scores[~positive]
    if min(len(x), len(y)) < 2:
        return None
    kernel = (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])
    return math.sqrt(kernel.mean(1).var(ddof=1) / len(x) + kernel.mean(0).var(ddof=1) / len(y))


def random_split(rng, classes, rows, ties, skew, rows_per_subject=1, sharpness=1.0):
    shares = np.array([1.0] + [skew] * (classes - 1))
    labels = rng.choice(classes, rows, p=shares / shares.sum())
    logits = rng.normal(size=(rows, classes)) + 0.8 * np.eye(classes)[labels]
    logits *= sharpness
    if ties:
        logits = np.round(logits / ties) * ties
    subjects = rng.permutation(rows) // rows_per_subject + 10
    return subjects.astype(int), labels, logits


def rows_json(subjects, labels, logits):
    return {"subjects": subjects.tolist(), "labels": labels.tolist(), "logits": logits.flatten().tolist(),
            "num_classes": logits.shape[1]}


def case(rng, classes, rows, ties, skew, sharpness):
    subjects, labels, logits = random_split(rng, classes, rows, ties, skew, sharpness=sharpness)
    risks = softmax(logits, axis=1)[:, 1:].sum(1)
    rate = float(rng.choice([0.01, 0.05, 0.1, 0.25]))
    threshold = float(np.sort(risks)[::-1][max(1, math.floor(rate * rows + 0.5)) - 1])
    out = rows_json(subjects, labels, logits)
    out |= {"alert_rate": rate, "threshold": threshold, "expected": figures(logits, labels, threshold),
            "confusion": metrics.confusion_matrix(labels, logits.argmax(1), labels=range(classes)).tolist()}
    p, r, f, s = metrics.precision_recall_fscore_support(labels, logits.argmax(1), labels=range(classes))
    out["classes"] = {"precision": p.tolist(), "recall": r.tolist(), "f1": f.tolist(), "support": s.tolist()}
    if classes == 2:
        out["auroc_standard_error"] = delong_standard_error(softmax(logits, axis=1)[:, 1], labels == 1)
    return out


class Philox:
    """Philox4x32-10 (Salmon et al. 2011) as a stream of 64-bit numbers; bounded ones by Lemire 2019."""

    def __init__(self, seed, stream):
        self.key = (seed & 0xFFFFFFFF, seed >> 32)
        self.stream, self.block, self.words = (stream & 0xFFFFFFFF, stream >> 32), 0, []

    def next32(self):
        if not self.words:
            c = [self.block & 0xFFFFFFFF, self.block >> 32, *self.stream]
            k = list(self.key)
            for _ in range(10):
                a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
                c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
                k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
            self.words, self.block = c, self.block + 1
        return self.words.pop(0)

    def below(self, bound):
        while True:
            product = (self.next32() | self.next32() << 32) * bound
            if product % 2**64 >= 2**64 % bound:
                return product >> 64


def interval_case(rng, classes, rows, rows_per_subject, seed, resamples, confidence):
    subjects, labels, logits = random_split(rng, classes, rows, 0.5, 0.6, rows_per_subject)
    ids, values = np.unique(subjects), {}
    rows_of = [np.flatnonzero(subjects == i) for i in ids]
    for b in range(resamples):
        stream = Philox(seed, (0x626F6F74 << 32) + b)
        chosen = np.concatenate([rows_of[stream.below(len(ids))] for _ in ids])
        for name, value in figures(logits[chosen], labels[chosen], 0.5).items():
            values.setdefault(name, []).append(value)
    tail = 50 * (1 - confidence)
    expected = {name: list(np.percentile(found, [tail, 100 - tail])) for name, found in values.items()}
    return rows_json(subjects, labels, logits) | {
        "seed": seed, "resamples": resamples, "confidence": confidence, "expected": expected}


def logistic_case(rng, classes, rows, features, counts, c):
    dense = rng.poisson(rng.gamma(0.5, 1.0, features), (rows, features))
    if not counts:
        dense = (dense > 0).astype(int)
    truth = rng.normal(size=(classes, features)) * 0.7
    labels = (dense @ truth.T + rng.gumbel(size=(rows, classes))).argmax(1)
    labels[:classes] = range(classes)
    best = None
    for solver in ("newton-cg", "lbfgs"):
        model = LogisticRegression(C=c, solver=solver, tol=1e-13, max_iter=100000)
        model.fit(csr_matrix(dense, dtype=float), labels)
        gradient = gradient_at(model, dense, labels, classes, c)
        if best is None or gradient < best[0]:
            best = gradient, model
    assert best[0] < 1e-5, best[0]
    model, sparse = best[1], csr_matrix(dense)
    if classes > 2:
        model.intercept_ -= model.intercept_.mean()  # a common shift of theirs changes nothing
    return {"num_classes": classes, "num_features": features, "c": c, "row_starts": sparse.indptr.tolist(),
            "columns": sparse.indices.tolist(), "values": sparse.data.tolist(), "labels": labels.tolist(),
            "weights": model.coef_.flatten().tolist(), "intercepts": model.intercept_.tolist(),
            "probabilities": model.predict_proba(dense).flatten().tolist()}


def gradient_at(model, dense, labels, classes, c):
    """The largest component of the objective's gradient."""
    truth, p = np.eye(classes)[labels], model.predict_proba(dense)
    if classes == 2:
        truth, p = truth[:, 1:], p[:, 1:]
    residual = c * (p - truth)
    return max(np.abs(residual.T @ dense + model.coef_).max(), np.abs(residual.sum(0)).max())


def main():
    out = sys.argv[1]
    warnings.simplefilter("ignore")  # undefined ratios, which are part of the cases
    warnings.simplefilter("ignore", ConvergenceWarning)  # the gradient is looked at instead
    rng = np.random.default_rng(20260731)
    cases = []
    for number in range(180):
        rows = int(rng.choice([1, 2, 3, 5, 8, 20, 60, 150, 400]))
        cases.append(case(rng, int(rng.choice([2, 2, 2, 3, 5])), rows, float(rng.choice([0, 0.25, 1.0, 3.0])),
                          float(rng.choice([1.0, 0.3, 0.05])), float(rng.choice([0.2, 1.0, 8.0]))))
    intervals = [interval_case(rng, 2, 150, 1, 42, 50, 0.95), interval_case(rng, 2, 120, 3, 2**40 + 7, 40, 0.9),
                 interval_case(rng, 3, 150, 2, 1, 40, 0.8)]
    logistic = [logistic_case(rng, classes, rows, features, counts, c) for classes, rows, features, counts, c in (
        (2, 300, 20, False, 1.0), (2, 300, 20, True, 1.0), (2, 60, 90, True, 1.0), (2, 40, 5, False, 0.1),
        (3, 300, 15, False, 1.0), (4, 80, 60, True, 1.0), (3, 200, 10, True, 10.0))]
    for name, content in (("cases", cases), ("intervals", intervals), ("logistic", logistic)):
        with open(os.path.join(out, f"{name}.json"), "w", encoding="utf-8") as file:
            json.dump(content, file)


main()
