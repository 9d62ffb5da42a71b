"""Writes metrics.def beside itself: random predictions with ties, absent classes and weights, and what scikit-learn's
metrics make of them, for tests/metric.c. Run it again only to add cases; the results are part of the repository.

    python3 tests/reference/metrics.py            (needs scikit-learn and NumPy; made with 1.9 on the CPU)"""
import os
import warnings

import numpy as np
import sklearn
from sklearn import metrics as M

HERE = os.path.dirname(os.path.abspath(__file__))
warnings.simplefilter("ignore")
R = np.random.default_rng(5)
arrays, cases = [], []


def array(name, a):
    values = ", ".join(repr(float(v)) for v in np.asarray(a, dtype=np.float64).ravel())
    arrays.append(f"static const double {name}[] = {{{values}}};")
    return name


def case(name, make, pred, target, weight, value, f32=True):
    """make: C that makes the metric. pred and target: (array's name, shape); integers where it is said."""
    shape = lambda s: "{" + str(len(s)) + ", {" + ", ".join(map(str, s)) + "}}"
    cases.append(f'    {{"{name}", {make}, {pred[0]}, {shape(pred[1])}, {"true" if pred[2] else "false"}, '
                 f'{target[0]}, {shape(target[1])}, {"true" if target[2] else "false"}, {weight or "NULL"}, '
                 f'{"(double)NAN" if np.isnan(value) else repr(float(value))}, {"true" if f32 else "false"}}},')


def make(function, **options):
    return "METRIC(" + function + ", " + ", ".join(f".{k} = {v}" for k, v in options.items() or {"classes": 0}.items()) + ")"


MEANS = {"macro": "TERN_METRIC_MACRO", "micro": "TERN_METRIC_MICRO", "weighted": "TERN_METRIC_WEIGHTED",
         "binary": "TERN_METRIC_BINARY"}


def classes(tag, n, c, absent=(), only=None, predicted=None):
    """Scores with few distinct values, so that many are equal; targets that leave classes out."""
    score = np.round(R.normal(size=(n, c)) * 2) / 2
    some = [k for k in range(c) if k not in absent]
    y = R.choice(some, n) if only is None else np.full(n, only)
    score[np.arange(n), y] += 0.5 * R.integers(0, 3, n)
    if predicted is not None:
        score[:, predicted] -= 100
    w = np.round(R.uniform(0.1, 3, n), 3)
    s, t = (array(f"scores_{tag}", score), (n, c), False), (array(f"classes_{tag}", y), (n,), True)
    pw = array(f"weights_{tag}", w)
    hard = score.argmax(1)
    p = np.exp(score - score.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    every = list(range(c))
    for weight, sw in ((None, None), (pw, w)):
        end = f"{tag}{', weights' if weight else ''}"
        case(f"accuracy {end}", make("tern_accuracy_new"), s, t, weight, M.accuracy_score(y, hard, sample_weight=sw))
        for k in range(1, min(c, 4)):
            if c > 2:  # its ties go the other way, so that the classes are turned around
                v = M.top_k_accuracy_score(c - 1 - y, score[:, ::-1], k=k, labels=every, sample_weight=sw)
                case(f"top {k} {end}", f"tern_top_k_new({k}, (tern_metric_opts){{0}})", s, t, weight, v)
        kinds = ["macro", "micro", "weighted"] + (["binary"] if c == 2 else [])
        for kind in kinds:
            for f, call in (("precision", M.precision_score), ("recall", M.recall_score), ("f1", M.f1_score),
                            ("iou", M.jaccard_score)):
                v = call(y, hard, average=kind, sample_weight=sw, zero_division=0)
                case(f"{f} {kind} {end}", make(f"tern_{f}_new", classes=c, mean=MEANS[kind]), s, t, weight, v)
        v = M.log_loss(y, p, labels=every, sample_weight=sw)
        case(f"log loss {end}", make("tern_log_loss_new"), s, t, weight, v)
        case(f"perplexity {end}", make("tern_perplexity_new"), s, t, weight, np.exp(v))
    areas(tag, np.round(p, 2), y, w, t, pw, {"probabilities": "true"})  # with ties
    areas(f"{tag}_smooth", R.normal(size=(n, c)), y, w, t, pw, {})
    arrays.append(f"static const double counts_{tag}[] = {{"
                  + ", ".join(repr(float(v)) for v in M.confusion_matrix(y, hard, labels=every, sample_weight=w).ravel())
                  + "};")


def areas(tag, score, y, w, t, pw, options):
    c = score.shape[1]
    s = (array(f"areas_{tag}", score), score.shape, False)
    p = score if options else np.exp(score) / np.exp(score).sum(1, keepdims=True)
    for weight, sw in ((None, None), (pw, w)):
        for f, call in (("roc_auc", M.roc_auc_score), ("pr_auc", M.average_precision_score)):
            for kind in ("macro", "weighted"):
                parts, shares = [], []
                for k in range(c) if c > 2 else [1]:
                    yes = y == k
                    if yes.any() and (f == "pr_auc" or not yes.all()):
                        parts.append(call(yes, p[:, k], sample_weight=sw))
                        shares.append((yes * (1 if sw is None else sw)).sum() if kind == "weighted" else 1)
                v = np.average(parts, weights=shares) if parts else np.nan
                if c > 2 and len(set(y)) == c and f == "roc_auc" and sw is None and not options:
                    assert np.isclose(v, M.roc_auc_score(y, p, multi_class="ovr", average=kind))
                case(f"{f} {kind} {tag}{', weights' if weight else ''}",
                     make(f"tern_{f}_new", mean=MEANS[kind], **options), s, t, weight, v)


def binary(tag, n, only=None):
    score = np.round(R.normal(size=n) * 4) / 4
    y = R.integers(0, 2, n) if only is None else np.full(n, only)
    score += np.where(y > 0, 0.25, 0)
    p = np.round(1 / (1 + np.exp(-score)), 2)
    w = np.round(R.uniform(0.1, 3, n), 3)
    s, t = (array(f"scores_{tag}", score), (n,), False), (array(f"classes_{tag}", y), (n,), True)
    pp, pw = (array(f"probabilities_{tag}", p), (n, 1), False), array(f"weights_{tag}", w)
    for weight, sw in ((None, None), (pw, w)):
        end = f"{tag}{', weights' if weight else ''}"
        for f, call in (("roc_auc", M.roc_auc_score), ("pr_auc", M.average_precision_score)):
            v = call(y, score, sample_weight=sw) if y.any() and not (f == "roc_auc" and y.all()) else np.nan
            case(f"{f} {end}", make(f"tern_{f}_new"), s, t, weight, v)
        for f, call in (("precision", M.precision_score), ("recall", M.recall_score), ("f1", M.f1_score)):
            case(f"{f} {end}", make(f"tern_{f}_new"), s, t, weight, call(y, score > 0, sample_weight=sw, zero_division=0))
            case(f"{f} of probabilities {end}", make(f"tern_{f}_new", probabilities="true"), pp, t, weight,
                 call(y, p > 0.5, sample_weight=sw, zero_division=0))
        case(f"accuracy above 0.6 {end}", make("tern_accuracy_new", probabilities="true", threshold=0.6), pp, t, weight,
             M.accuracy_score(y, p > 0.6, sample_weight=sw))
        case(f"log loss {end}", make("tern_log_loss_new"), s, t, weight,
             M.log_loss(y, 1 / (1 + np.exp(-score)), labels=[0, 1], sample_weight=sw))
        sure = np.where(np.arange(n) % 7 == 0, np.round(p), p)  # with 0 and 1
        ps = (array(f"sure_{tag}_{'w' if weight else 'n'}", sure), (n,), False)
        case(f"log loss of probabilities {end}", make("tern_log_loss_new", probabilities="true"), ps, t, weight,
             M.log_loss(y, sure, labels=[0, 1], sample_weight=sw), f32=False)


def labels(tag, n, c):
    score = np.round(R.normal(size=(n, c)) * 2) / 2
    y = R.integers(0, 2, (n, c))
    s, t = (array(f"scores_{tag}", score), (n, c), False), (array(f"classes_{tag}", y), (n, c), True)
    for kind in ("macro", "weighted"):
        for f, call in (("roc_auc", M.roc_auc_score), ("pr_auc", M.average_precision_score)):
            case(f"{f} {kind} {tag}", make(f"tern_{f}_new", mean=MEANS[kind]), s, t, None, call(y, score, average=kind))


def r2(y, p, sw, constant):
    each = np.atleast_1d(M.r2_score(y, p, sample_weight=sw, multioutput="raw_values"))
    if constant:  # the weighted mean of 7 is not quite 7, and scikit-learn divides by the square of that
        each[0] = 0
    return each.mean()


def numbers(tag, shape, constant=False):
    y = np.round(R.normal(size=shape) * 2 + 100, 4)
    p = np.round(y + R.normal(size=shape), 4)
    if constant:
        y[:, 0] = 7
        y[:, 1], p[:, 1] = 3, 3
    w = np.round(R.uniform(0.1, 3, shape[0]), 3)
    s, t = (array(f"guess_{tag}", p), shape, False), (array(f"number_{tag}", y), shape, False)
    pw = array(f"weights_{tag}", w)
    for weight, sw in ((None, None), (pw, w)):
        end = f"{tag}{', weights' if weight else ''}"
        case(f"mse {end}", make("tern_mse_new"), s, t, weight, M.mean_squared_error(y, p, sample_weight=sw))
        case(f"mae {end}", make("tern_mae_new"), s, t, weight, M.mean_absolute_error(y, p, sample_weight=sw))
        case(f"r2 {end}", make("tern_r2_new"), s, t, weight, r2(y, p, sw, constant), f32=False)


classes("five", 60, 5)
classes("absent", 40, 6, absent=(2, 5))
classes("never_called", 30, 4, absent=(1,), predicted=1)
classes("one_class", 20, 3, only=1)
classes("two", 50, 2)
binary("binary", 50)
binary("all_yes", 15, only=1)
binary("all_no", 15, only=0)
labels("labels", 30, 4)
numbers("line", (40,))
numbers("table", (25, 3))
numbers("constant", (25, 3), constant=True)
with open(os.path.join(HERE, "metrics.def"), "w") as f:
    f.write(f"/* Written by tests/reference/metrics.py with scikit-learn {sklearn.__version__}; not to be edited. */\n")
    f.write("\n".join(arrays) + "\n\nstatic const metric_case metric_cases[] = {\n" + "\n".join(cases) + "\n};\n")
print(len(cases), "cases")
