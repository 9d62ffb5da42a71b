/* Metrics: what tells how good predictions are, over as many batches as it takes.
 *
 *     tern_metric *f1 = tern_f1_new((tern_metric_opts){.classes = 10});
 *     while (tern_loader_next(loader, &b)) tern_metric_update(f1, tern_forward(net, b.x), b.y, NULL);
 *     printf("F1 %.3f\n", tern_metric_compute(f1));
 *     tern_metric_free(f1);
 *
 * An update does its arithmetic where the predictions are and does not wait for the device; computing does. Sums are in
 * f64. A metric of one's own is the same struct filled in; tern_fit takes both. The definitions, also of weights, ties
 * and classes that do not come, are scikit-learn's except where a comment says so. One metric is for one thread at a
 * time. */
#ifndef TERN_METRIC_H
#define TERN_METRIC_H

#include "tern/module.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_metric tern_metric;
struct tern_metric {
    const char *name; /* in histories and logs; without ',' and line ends */
    bool lower;       /* lower values are better */
    /* Takes a batch in. Runs with recording off, inside a scope of its own; weight may be NULL. Returns false after an
     * error. */
    bool (*update)(tern_metric *m, tern_tensor *pred, tern_tensor *target, tern_tensor *weight);
    double (*compute)(tern_metric *m); /* of all batches since the last reset */
    void (*reset)(tern_metric *m);
    void (*drop)(tern_metric *m); /* frees m; called by tern_metric_free; may be NULL */
};

/* ---- using metrics ----------------------------------------------------------------------------------------------- */

/* Takes a batch in: predictions, targets, and a weight for each target (its shape, or [N] for whole samples; NULL: all
 * weigh 1). Errors: TERN_ERR_SHAPE, TERN_ERR_DTYPE, TERN_ERR_DEVICE; TERN_ERR_INDEX for a class outside (on the GPU
 * reported by the next synchronising call). */
TERN_API bool tern_metric_update(tern_metric *m, tern_tensor *pred, tern_tensor *target, tern_tensor *weight);
/* The metric over all batches since it was made or reset. NaN where it is not defined (no targets, or those of one
 * class for an area under a curve), and after an error. Waits for the device. */
TERN_API double tern_metric_compute(tern_metric *m);
/* Forgets all batches. */
TERN_API void tern_metric_reset(tern_metric *m);
/* NULL does nothing. */
TERN_API void tern_metric_free(tern_metric *m);

/* ---- the metrics ------------------------------------------------------------------------------------------------- *
 * Of classes: targets are integers [N, ...]; predictions are floats [N, C, ...], of which the largest of the C counts
 * (the first of equals), or integers, the classes themselves. Of yes and no: targets 0 and 1, predictions floats of the
 * targets' shape or [N, 1], yes above the threshold. Integer targets of -100 count for nothing. Each _new returns a
 * metric for the caller to free, NULL on errors (TERN_ERR_ARGUMENT, TERN_ERR_MEMORY). */

typedef enum tern_metric_mean {
    TERN_METRIC_AUTO = 0, /* of two classes the second one's value, else macro */
    TERN_METRIC_BINARY,   /* the second class's value */
    TERN_METRIC_MACRO,    /* the plain mean over the classes that come in targets or predictions */
    TERN_METRIC_MICRO,    /* of the counts of all classes together */
    TERN_METRIC_WEIGHTED  /* the mean, each class weighing as much as its targets */
} tern_metric_mean;

typedef struct tern_metric_opts {
    const char *name;      /* copied; if NULL the metric's own: "accuracy", "top5", "f1", ... */
    int64_t classes;       /* of the table of counts; 2 if zero */
    bool probabilities;    /* float predictions are probabilities; else logits */
    double threshold;      /* for yes; 0.5 of probabilities and 0 of logits if zero */
    tern_metric_mean mean; /* precision, recall, F1, IoU; the areas: macro or weighted */
    bool has_ignore_index;
    int64_t ignore_index; /* such integer targets count for nothing as well */
} tern_metric_opts;

/* The share of targets that were met. As sklearn.metrics.accuracy_score. */
TERN_API tern_metric *tern_accuracy_new(tern_metric_opts opts);
/* The share of targets whose class has one of the k best scores, the first of equals being the better. As
 * top_k_accuracy_score, which takes the last of equals first. */
TERN_API tern_metric *tern_top_k_new(int64_t k, tern_metric_opts opts);
/* Of what was called a class, the share that is of it; of what is of a class, the share that was called so; their
 * harmonic mean. 0 where nothing was, or is. As precision_score, recall_score and f1_score. */
TERN_API tern_metric *tern_precision_new(tern_metric_opts opts);
TERN_API tern_metric *tern_recall_new(tern_metric_opts opts);
TERN_API tern_metric *tern_f1_new(tern_metric_opts opts);
/* Intersection over union: what is and was called a class over what is or was; macro unless opts say otherwise. As
 * jaccard_score. */
TERN_API tern_metric *tern_iou_new(tern_metric_opts opts);
/* The table of counts itself; as a number, its diagonal's share: the accuracy. */
TERN_API tern_metric *tern_confusion_new(tern_metric_opts opts);
/* The counts, or sums of weights, [classes, classes] f64, target by prediction, of any of the five above. NULL after an
 * error: TERN_ERR_ARGUMENT for other metrics and before an update. Owner: the current scope. */
TERN_API tern_tensor *tern_metric_counts(tern_metric *m);
/* Areas under the curves of true against false positives (by trapezoids) and of precision against recall (by steps).
 * Scores [N] or [N, 1] of yes; [N, C] with targets [N], each class against the rest (of two, the second's), or with
 * targets [N, C] of labels each by itself. Keep all scores until they are computed. NaN without targets of both kinds
 * (precision: of yes); in means such classes are left out. Scores must not be NaN: TERN_ERR_ARGUMENT when computing.
 * As roc_auc_score (ovr) and average_precision_score. */
TERN_API tern_metric *tern_roc_auc_new(tern_metric_opts opts);
TERN_API tern_metric *tern_pr_auc_new(tern_metric_opts opts);
/* The mean of -log of the probability given to the target. Probabilities are kept an eps of their dtype away from 0 and
 * 1. As log_loss; perplexity is its exponential. */
TERN_API tern_metric *tern_log_loss_new(tern_metric_opts opts);
TERN_API tern_metric *tern_perplexity_new(tern_metric_opts opts);
/* Of numbers, predictions and targets of one shape [N, ...]: means of squared and absolute differences, and the share
 * of the targets' variance that predictions explain, the mean over the numbers of a sample (1 or 0 where one never
 * varies, as it was met or not). As mean_squared_error, mean_absolute_error, r2_score.
 */
TERN_API tern_metric *tern_mse_new(tern_metric_opts opts);
TERN_API tern_metric *tern_mae_new(tern_metric_opts opts);
TERN_API tern_metric *tern_r2_new(tern_metric_opts opts);

#ifdef __cplusplus
}
#endif
#endif
