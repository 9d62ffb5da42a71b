/* ctc_loss: the kernel sums over alignments and writes the gradient in the same pass; reductions are public ops. */
#include <math.h>

#include "casting.h"
#include "ops/losses.h"
#include "ops/normalise.h"

static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n; /* log_probs, targets, start, input_lengths, target_lengths: i64 but for the first */
    tern_tensor *dense[5];
    for (int i = 0; i < 5; i++)
        if (!(dense[i] = terni_dense(in[i]))) return false;
    tern_tensor *made[2] = {
        terni_new(TERN_SHAPE(in[0]->v.shape[1]), terni_dtype(in[0]), in[0]->device),
        tern_ctx_needs(ctx, 0) ? terni_new(terni_shape(in[0]), terni_dtype(in[0]), in[0]->device) : NULL};
    out[0] = made[0];
    return out[0] && tern_ok() && terni_run(TERNI_OP_ctc_loss, dense, 5, made, 2, tern_ctx_opts(ctx)) &&
           tern_ctx_save(ctx, made[1]);
}

static bool backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    if (terni_recording())
        return terni_fail(TERN_ERR_UNSUPPORTED, "ctc_loss: its gradient cannot be differentiated again");
    tern_tensor *slope = tern_ctx_saved(ctx, 0);
    grad_in[0] = slope ? tern_mul(slope, tern_unsqueeze(grad[0], -1)) : NULL;
    return grad_in[0] != NULL;
}

static const tern_function function = {"ctc_loss", 1, sizeof(terni_ctc_opts), forward, backward, NULL};

static bool whole(const char *what, tern_tensor *t) {
    if (!terni_given(t, "ctc_loss", what)) return false;
    return terni_dtype(t) == TERN_I64 || terni_dtype(t) == TERN_I32 ||
           terni_fail(TERN_ERR_DTYPE, "ctc_loss: %s %s, expected i64 or i32", what, terni_describe(t));
}

/* Where each sequence's targets start: rows of [N, S], or one after the other. */
static tern_tensor *starts(tern_tensor *targets, tern_tensor *lengths, int64_t n) {
    if (targets->v.ndim == 2)
        return tern_mul_scalar(tern_arange(0, (double)n, (tern_options){TERN_I64, targets->device}),
                               (double)targets->v.shape[1]);
    /* Sums of the lengths before: a strictly lower triangle of ones times them. */
    tern_tensor *before = tern_tril(tern_ones(TERN_SHAPE(n, n), (tern_options){TERN_I64, targets->device}), -1);
    return tern_sum(tern_mul(before, lengths), (const int[]){1}, 1, false);
}

tern_tensor *tern_ctc_loss(tern_tensor *log_probs, tern_tensor *targets, tern_tensor *input_lengths,
                           tern_tensor *target_lengths, tern_ctc_opts opts) {
    TERNI_NAMED("ctc_loss");
    TERNI_AUTOCAST(F32, &log_probs);
    static const char op[] = "ctc_loss";
    terni_loss l = {op, opts.reduction, TERN_F32};
    tern_tensor *const all[4] = {log_probs, targets, input_lengths, target_lengths};
    if (!terni_loss_of(&l, log_probs) || !whole("targets", targets) || !whole("input_lengths", input_lengths) ||
        !whole("target_lengths", target_lengths) || !terni_same_device(op, all, 4, NULL))
        return NULL;
    const int64_t n = log_probs->v.ndim == 3 ? log_probs->v.shape[1] : -1;
    const bool rows = targets->v.ndim == 2 && targets->v.shape[0] == n;
    if (n < 0 || (!rows && targets->v.ndim != 1) || input_lengths->v.ndim != 1 || input_lengths->numel != n ||
        target_lengths->v.ndim != 1 || target_lengths->numel != n)
        return terni_null(TERN_ERR_SHAPE,
                          "ctc_loss: log_probs %s, targets %s, lengths %s and %s, expected [T, N, C], [N, S] or "
                          "[all of them], [N] and [N]",
                          terni_shape_str(terni_shape(log_probs)), terni_shape_str(terni_shape(targets)),
                          terni_shape_str(terni_shape(input_lengths)), terni_shape_str(terni_shape(target_lengths)));
    if (opts.blank < 0 || opts.blank >= log_probs->v.shape[2])
        return terni_null(TERN_ERR_ARGUMENT, "ctc_loss: blank %lld is outside [0, %lld)", (long long)opts.blank,
                          (long long)log_probs->v.shape[2]);
    const terni_ctc_opts o = {opts.blank};
    tern_tensor *length = tern_cast(target_lengths, TERN_I64), *each;
    tern_tensor *const in[5] = {tern_cast(log_probs, terni_acc_dtype(l.dtype)), tern_cast(targets, TERN_I64),
                                length ? starts(targets, length, n) : NULL, tern_cast(input_lengths, TERN_I64), length};
    if (!tern_ok() || !tern_apply(&function, in, 5, &o, &each)) return NULL;
    if (opts.zero_infinity) {
        tern_tensor *none = tern_eq(each, terni_beside(each, (double)INFINITY));
        each = tern_where(none, terni_beside(each, 0), each);
    }
    if (l.reduction == TERN_REDUCE_MEAN && each)
        each = tern_div(each, tern_cast(tern_maximum(length, terni_beside(length, 1)), terni_dtype(each)));
    return terni_loss_end(&l, each);
}
