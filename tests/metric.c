/* Metrics: the values of scikit-learn on random data with ties, absent classes and weights, whatever the batches;
 * ignored targets; what does not fit. */
#include "common.h"
#include "tern/metric.h"

typedef tern_metric *(*metric_maker)(void);
typedef struct metric_case {
    const char *name;
    tern_metric *(*make)(tern_metric_opts opts);
    int64_t k; /* top-k, where make is NULL */
    tern_metric_opts opts;
    const double *pred;
    tern_shape pred_shape;
    bool pred_integer;
    const double *target;
    tern_shape target_shape;
    bool target_integer;
    const double *weight;
    double want;
    bool f32; /* holds of predictions in f32 too */
} metric_case;

#define METRIC(make, ...) \
    make, 0, { __VA_ARGS__ }
#define tern_top_k_new(k, opts) \
    NULL, k, { 0 }
#include "reference/metrics.def"
#undef tern_top_k_new

enum { CASES = sizeof metric_cases / sizeof *metric_cases };

static tern_metric *made(const metric_case *c) {
    return c->make ? c->make(c->opts) : tern_top_k_new(c->k, (tern_metric_opts){0});
}

/* Feeds the case in batches of this many samples. */
static double fed(tern_metric *m, const metric_case *c, tern_dtype dtype, int64_t batch) {
    tern_tensor *p = test_tensor(c->pred, c->pred_shape, dtype);
    tern_tensor *t = test_tensor(c->target, c->target_shape, c->target_integer ? TERN_I64 : TERN_F64);
    const int64_t n = c->target_shape.dim[0];
    tern_tensor *w = c->weight ? test_tensor(c->weight, TERN_SHAPE(n), TERN_F64) : NULL;
    for (int64_t i = 0; i < n; i += batch) {
        const int64_t end = i + batch < n ? i + batch : n;
        CHECK(tern_metric_update(m, tern_slice(p, 0, i, end, 1), tern_slice(t, 0, i, end, 1),
                                 w ? tern_slice(w, 0, i, end, 1) : NULL));
    }
    return tern_metric_compute(m);
}

TERN_TEST(metric, as_scikit_learn) {
    static const int64_t batches[] = {1000, 7, 1};
    for (int i = 0; i < CASES; i++) {
        const metric_case *c = &metric_cases[i];
        tern_metric *m = made(c);
        REQUIRE(m);
        for (int b = 0; b < 3; b++)
            for (int d = 0; d <= c->f32; d++) {
                const int scope = tern_scope_push();
                check_case("%s, %s, batches of %d", c->name, d ? "f32" : "f64", (int)batches[b]);
                CHECK(isnan(tern_metric_compute(m))); /* nothing came yet */
                CHECK_NUMBER(fed(m, c, d ? TERN_F32 : TERN_F64, batches[b]), c->want, d ? 2e-6 : 1e-11);
                CHECK(CHECK_OK());
                tern_metric_reset(m);
                tern_scope_pop(scope);
            }
        tern_metric_free(m);
    }
}

TERN_TEST(metric, the_table) {
    tern_metric *m = tern_confusion_new((tern_metric_opts){.classes = 5});
    tern_tensor *p = test_tensor(scores_five, TERN_SHAPE(60, 5), TERN_F32);
    tern_tensor *t = test_tensor(classes_five, TERN_SHAPE(60), TERN_I64);
    tern_tensor *w = test_tensor(weights_five, TERN_SHAPE(60), TERN_F64);
    CHECK(tern_metric_update(m, p, t, w));
    CHECK_CLOSE(tern_metric_counts(m), counts_five, 25, ((tolerance){1e-12, 1e-12}));
    CHECK_NUMBER(tern_metric_compute(m), 0, 1); /* a share */
    tern_metric *a = tern_accuracy_new((tern_metric_opts){0});
    CHECK(tern_metric_update(a, p, t, w));
    CHECK_NUMBER(tern_metric_compute(m), tern_metric_compute(a), 1e-12);
    /* Classes as predictions give the same. */
    tern_metric *b = tern_confusion_new((tern_metric_opts){.classes = 5});
    CHECK(tern_metric_update(b, tern_cast(tern_argmax(p, 1, false), TERN_I32), t, w));
    CHECK_SAME(tern_metric_counts(b), tern_metric_counts(m), ((tolerance){0, 0}));
    EXPECT_ERROR(tern_metric_counts(a), TERN_ERR_ARGUMENT, "accuracy has no table");
    tern_metric_free(m);
    tern_metric_free(a);
    tern_metric_free(b);
}

/* What is ignored counts for nothing: as if it were not there. Images: [N, C, H, W] against [N, H, W]. */
TERN_TEST(metric, ignored_targets_and_images) {
    static tern_metric *(*const all[])(tern_metric_opts) = {tern_accuracy_new,  tern_iou_new,       tern_f1_new,
                                                            tern_confusion_new, tern_roc_auc_new,   tern_pr_auc_new,
                                                            tern_log_loss_new,  tern_perplexity_new};
    tern_tensor *p = test_random(TERN_SHAPE(2, 3, 4, 5), -2, 2, TERN_F32);
    tern_tensor *t = tern_cast(test_random(TERN_SHAPE(2, 4, 5), 0, 3, TERN_F32), TERN_I64);
    tern_tensor *flat = tern_reshape(tern_movedim(p, 1, -1), TERN_SHAPE(40, 3)), *y = tern_reshape(t, TERN_SHAPE(40));
    tern_tensor *head = tern_slice(flat, 0, 0, 25, 1), *y_head = tern_slice(y, 0, 0, 25, 1);
    tern_tensor *holes[2];
    for (int k = 0; k < 2; k++) {
        tern_tensor *some = tern_full_like(tern_slice(y, 0, 25, 40, 1), k ? 255 : -100);
        holes[k] = tern_cat((tern_tensor *[]){y_head, some}, 2, 0);
    }
    for (int i = 0; i < 8; i++) {
        check_case("metric %d", i);
        tern_metric_opts o = {.classes = 3};
        tern_metric *a = all[i](o), *b = all[i](o);
        CHECK(tern_metric_update(a, p, t, NULL) && tern_metric_update(b, flat, y, NULL));
        CHECK_NUMBER(tern_metric_compute(a), tern_metric_compute(b), 1e-7);
        tern_metric_reset(a);
        tern_metric_reset(b);
        CHECK(tern_metric_update(a, head, y_head, NULL) && tern_metric_update(b, flat, holes[0], NULL));
        CHECK_NUMBER(tern_metric_compute(a), tern_metric_compute(b), 1e-7);
        tern_metric_free(b);
        o.has_ignore_index = true;
        o.ignore_index = 255;
        b = all[i](o);
        CHECK(tern_metric_update(b, flat, holes[1], NULL));
        CHECK_NUMBER(tern_metric_compute(a), tern_metric_compute(b), 1e-7);
        tern_metric_free(a);
        tern_metric_free(b);
    }
}

/* Masks of bytes have ignored targets too; and what a prediction says of an ignored target does not matter, even if it
 * is no number. */
TERN_TEST(metric, ignored_bytes_and_nan) {
    const double scores[] = {1, 2, 0, 3, 0, 0}, marks[] = {1, 255, 0}, near[] = {1, 255, 2};
    tern_tensor *p = test_tensor(scores, TERN_SHAPE(3, 2), TERN_F32), *t = test_tensor(marks, TERN_SHAPE(3), TERN_U8);
    static tern_metric *(*const all[])(tern_metric_opts) = {tern_accuracy_new, tern_iou_new, tern_confusion_new};
    for (int i = 0; i < 3; i++) {
        check_case("metric %d", i);
        tern_metric *m = all[i]((tern_metric_opts){.has_ignore_index = true, .ignore_index = 255});
        CHECK(tern_metric_update(m, p, t, NULL) && tern_metric_compute(m) == 1);
        tern_metric_free(m);
    }
    static tern_metric *(*const means[])(tern_metric_opts) = {tern_log_loss_new, tern_perplexity_new, tern_mse_new,
                                                              tern_mae_new, tern_r2_new};
    for (int i = 0; i < 5; i++) {
        check_case("mean %d", i);
        tern_metric *m = means[i]((tern_metric_opts){.has_ignore_index = true, .ignore_index = 255});
        const double wild[] = {0, 1, (double)-INFINITY, 1, 0, 1}, one[] = {1, (double)NAN, 2};
        const double classes[] = {1, 255, 1};
        tern_tensor *x =
            i < 2 ? test_tensor(wild, TERN_SHAPE(3, 2), TERN_F64) : test_tensor(one, TERN_SHAPE(3), TERN_F64);
        tern_tensor *y = test_tensor(i < 2 ? classes : near, TERN_SHAPE(3), TERN_I64);
        CHECK(tern_metric_update(m, x, y, NULL));
        const double want[] = {log(1 + exp(-1)), 1 + exp(-1), 0, 0, 1};
        CHECK_NUMBER(tern_metric_compute(m), want[i], 1e-12);
        tern_metric_free(m);
    }
}

/* An update made in inference mode, and one made outside, add up; nothing is recorded. */
TERN_TEST(metric, modes) {
    tern_metric *m = tern_mse_new((tern_metric_opts){.name = "error"});
    CHECK(strcmp(m->name, "error") == 0 && m->lower);
    tern_tensor *p = tern_require_grad(tern_full(TERN_SHAPE(3), 2, (tern_options){0}), true);
    tern_tensor *t = tern_zeros(TERN_SHAPE(3), (tern_options){0});
    const bool was = tern_inference_mode(true);
    CHECK(tern_metric_update(m, tern_mul_scalar(p, 1), t, NULL));
    tern_inference_mode(was);
    CHECK(tern_metric_update(m, tern_mul_scalar(p, 2), t, NULL));
    CHECK_NUMBER(tern_metric_compute(m), 10, 1e-12);
    tern_metric_free(m);
    tern_metric_free(NULL);
    tern_metric_reset(NULL);
}

TERN_TEST(metric, what_does_not_fit) {
    tern_metric *a = tern_accuracy_new((tern_metric_opts){0}), *f = tern_f1_new((tern_metric_opts){.classes = 3});
    tern_metric *r = tern_roc_auc_new((tern_metric_opts){0}), *k = tern_top_k_new(2, (tern_metric_opts){0});
    tern_metric *l = tern_log_loss_new((tern_metric_opts){0}), *m = tern_r2_new((tern_metric_opts){0});
    tern_tensor *x = tern_zeros(TERN_SHAPE(4, 3), (tern_options){0});
    tern_tensor *y = tern_zeros(TERN_SHAPE(4), (tern_options){.dtype = TERN_I64});
    tern_tensor *five = tern_zeros(TERN_SHAPE(5), (tern_options){.dtype = TERN_I64});
    EXPECT_ERROR(tern_metric_update(a, x, five, NULL), TERN_ERR_SHAPE, "accuracy");
    EXPECT_ERROR(tern_metric_update(k, x, five, NULL), TERN_ERR_SHAPE, "top2");
    EXPECT_ERROR(tern_metric_update(l, x, five, NULL), TERN_ERR_SHAPE, "log_loss");
    EXPECT_ERROR(tern_metric_update(m, x, y, NULL), TERN_ERR_SHAPE, "r2");
    EXPECT_ERROR(tern_metric_update(f, x, five, NULL), TERN_ERR_SHAPE, "f1");
    EXPECT_ERROR(tern_metric_update(r, x, five, NULL), TERN_ERR_SHAPE, "");
    EXPECT_ERROR(tern_metric_update(l, y, y, NULL), TERN_ERR_DTYPE, "log_loss");
    EXPECT_ERROR(tern_metric_update(r, y, y, NULL), TERN_ERR_DTYPE, "roc_auc");
    EXPECT_ERROR(tern_metric_update(NULL, x, y, NULL), TERN_ERR_ARGUMENT, "metric");
    EXPECT_ERROR(tern_metric_update(a, NULL, y, NULL), TERN_ERR_ARGUMENT, "pred");
    /* A class outside, on either side, even where the cell of the table would be inside. */
    static const int64_t pairs[][2] = {{0, 3}, {1, -1}, {3, 0}, {-1, 2}, {0, 8}};
    for (int i = 0; i < 5; i++) {
        tern_tensor *t = test_values(TERN_I64, TERN_SHAPE(1), (double)pairs[i][0]);
        EXPECT_ERROR(tern_metric_update(f, test_values(TERN_I64, TERN_SHAPE(1), (double)pairs[i][1]), t, NULL),
                     TERN_ERR_INDEX, "");
    }
    tern_tensor *bad = test_values(TERN_F32, TERN_SHAPE(4), 0, (double)NAN, 1, 2);
    CHECK(tern_metric_update(r, bad, test_values(TERN_I64, TERN_SHAPE(4), 0, 1, 1, 0), NULL));
    CHECK(isnan(tern_metric_compute(r)));
    EXPECT_PENDING(TERN_ERR_ARGUMENT, "a score is NaN");
    EXPECT_ERROR(tern_top_k_new(0, (tern_metric_opts){0}), TERN_ERR_ARGUMENT, "k is 0");
    EXPECT_ERROR(tern_f1_new((tern_metric_opts){.classes = 1}), TERN_ERR_ARGUMENT, "1 classes");
    EXPECT_ERROR(tern_f1_new((tern_metric_opts){.classes = 3, .mean = TERN_METRIC_BINARY}), TERN_ERR_ARGUMENT, "");
    EXPECT_ERROR(tern_roc_auc_new((tern_metric_opts){.mean = TERN_METRIC_MICRO}), TERN_ERR_ARGUMENT, "macro");
    tern_metric *all[] = {a, f, r, k, l, m};
    for (int i = 0; i < 6; i++) tern_metric_free(all[i]);
}
