/* ctc_loss against the sum over every path. arg: reduction, blank, zero_infinity, 1 for concatenated targets, what to
 * add to the lengths. */
#include "../sweep.h"

/* Lengths of sequence n: a pattern, so that the tables need no integers of their own. */
static int64_t input_length(const sweep_case *c, int64_t t, int64_t n) { return t - (n % 3 == 1) + c->arg[4]; }
static int64_t target_length(int64_t s, int64_t n) { return n % 3 == 2 ? 0 : s - (s > 0 && n % 3 == 1); }

static tern_tensor *call_ctc_loss(tern_tensor *const *in, const sweep_case *c) {
    const int64_t t = tern_size(in[0], 0), n = tern_size(in[0], 1), s = tern_size(in[1], 1);
    int64_t inputs[8] = {0}, targets[8] = {0};
    tern_tensor *flat = in[1], *parts[8] = {0};
    for (int64_t i = 0; i < n; i++) {
        inputs[i] = input_length(c, t, i);
        targets[i] = target_length(s, i);
        if (c->arg[3]) parts[i] = tern_narrow(tern_select(in[1], 0, i), 0, 0, targets[i]);
    }
    if (c->arg[3]) flat = tern_cat(parts, (int)n, 0);
    targets[0] += c->arg[5];
    const tern_options whole = {TERN_I64, test_device()};
    return tern_ctc_loss(in[0], flat, tern_from(inputs, TERN_SHAPE(n), whole), tern_from(targets, TERN_SHAPE(n), whole),
                         (tern_ctc_opts){(tern_reduction)c->arg[0], c->arg[1], c->arg[2] != 0});
}

/* Every path of classes, collapsed: equal neighbours become one, then blanks go. */
static void ref_ctc_loss(const array *in, const sweep_case *c, array *out) {
    const int64_t t = in[0].shape.dim[0], n = in[0].shape.dim[1], k = in[0].shape.dim[2], s = in[1].shape.dim[1];
    array each;
    array_new(&each, tern_shape_of(1, &n));
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t length = input_length(c, t, i), wanted = target_length(s, i);
        int64_t paths = 1;
        double total = 0;
        for (int64_t d = 0; d < length; d++) paths *= k;
        for (int64_t path = 0; path < paths; path++) {
            int64_t last = -1, found = 0, rest = path;
            double p = 0;
            bool fits = true;
            for (int64_t d = 0; d < length; d++, rest /= k) {
                const int64_t now = rest % k;
                p += in[0].v[(d * n + i) * k + now];
                if (now != last && now != c->arg[1])
                    fits = fits && found < wanted && (int64_t)in[1].v[i * s + found++] == now;
                last = now;
            }
            if (fits && found == wanted) total += exp(p);
        }
        each.v[i] = c->arg[2] && total == 0 ? 0 : -log(total);
        sum += each.v[i] / (c->arg[0] == TERN_REDUCE_MEAN ? (double)(wanted > 0 ? wanted : 1) * (double)n : 1);
    }
    if (c->arg[0] == TERN_REDUCE_NONE) {
        *out = each;
        return;
    }
    array_new(out, tern_shape_scalar());
    out->v[0] = sum;
    free(each.v);
}

#define LABELS(lo_, hi_, ...) \
    { .kind = IN_INDEX, .lo = lo_, .hi = hi_, .shape = SHAPE_OF(__VA_ARGS__) }
static const sweep_case ctc_losses[] = {
    {"mean", {RANGE(-3, 0, 5, 3, 4), LABELS(1, 3, 3, 2)}},
    {"sum", {RANGE(-3, 0, 5, 3, 4), LABELS(1, 3, 3, 2)}, .arg = {TERN_REDUCE_SUM}},
    {"none, other blank", {RANGE(-3, 0, 5, 3, 4), LABELS(0, 2, 3, 2)}, .arg = {TERN_REDUCE_NONE, 3}},
    {"concatenated", {RANGE(-3, 0, 5, 4, 3), LABELS(1, 2, 4, 2)}, .arg = {TERN_REDUCE_NONE, 0, 0, 1}},
    {"repeated labels", {RANGE(-3, 0, 6, 2, 2), LABELS(1, 1, 2, 3)}, .arg = {TERN_REDUCE_NONE}},
    {"barely", {RANGE(-3, 0, 3, 1, 3), LABELS(1, 1, 1, 2)}, .arg = {TERN_REDUCE_NONE}},
    {"no alignment", {FIXED(-3, 0, 3, 3, 3), LABELS(1, 1, 3, 3)}, .arg = {TERN_REDUCE_NONE}},
    {"no alignment, zero", {RANGE(-3, 0, 3, 3, 3), LABELS(1, 1, 3, 3)}, .arg = {TERN_REDUCE_NONE, 0, 1}},
    {"no labels", {RANGE(-3, 0, 4, 2, 3), LABELS(1, 2, 2, 0)}},
    {"no sequences", {RANGE(-3, 0, 4, 0, 3), LABELS(1, 2, 0, 2)}, .arg = {TERN_REDUCE_SUM}},
    {"label outside", {REAL(4, 2, 3), LABELS(3, 3, 2, 2)}, .code = TERN_ERR_INDEX, .text = "ctc_loss: target 3"},
    {"length outside", {REAL(4, 2, 3), LABELS(1, 2, 2, 2)}, .arg = {0, 0, 0, 0, 1}, .code = TERN_ERR_INDEX},
    {"more labels than there are",
     {REAL(4, 2, 3), LABELS(1, 2, 2, 2)},
     .arg = {0, 0, 0, 1, 0, 7},
     .code = TERN_ERR_INDEX,
     .text = "target length 9"},
    {"blank outside", {REAL(4, 2, 3), LABELS(1, 2, 2, 2)}, .arg = {0, 3}, .code = TERN_ERR_ARGUMENT},
    {"rows", {REAL(4, 2, 3), LABELS(1, 2, 3, 2)}, .code = TERN_ERR_SHAPE},
    {"two dimensions", {REAL(4, 2), LABELS(1, 1, 2, 2)}, .code = TERN_ERR_SHAPE},
};
/* The kernel writes the gradient in the forward pass, as PyTorch's does; there is no second one. */
SWEEP(ctc_loss, ctc_losses, call_ctc_loss, ref_ctc_loss, SWEEP_NO_SECOND, 8)
BENCH(ctc_loss, call_ctc_loss,
      "F.ctc_loss(a, b, torch.tensor([200 - (i % 3 == 1) for i in range(16)][:a.shape[1]]), "
      "torch.tensor([0 if i % 3 == 2 else 30 - (i % 3 == 1) for i in range(16)][:a.shape[1]]))",
      {"[200, 8, 64]", {RANGE(-6, -2, 200, 8, 64), LABELS(1, 63, 8, 30)}})

TERN_TEST(ctc_loss, refuses_second_derivative) {
    const int scope = tern_scope_push();
    const int64_t length = 2, label = 1;
    tern_tensor *x = tern_require_grad(tern_zeros(TERN_SHAPE(2, 1, 2), (tern_options){.device = test_device()}), true),
                *g = NULL;
    const tern_options whole = {TERN_I64, test_device()};
    tern_tensor *t = tern_from(&label, TERN_SHAPE(1, 1), whole), *n = tern_from(&length, TERN_SHAPE(1), whole);
    tern_tensor *y = tern_ctc_loss(x, t, n, tern_from(&label, TERN_SHAPE(1), whole), (tern_ctc_opts){0});
    CHECK_OK();
    CHECK(!tern_grad(y, &x, 1, NULL, (tern_backward_opts){.create_graph = true}, &g), "gives one");
    EXPECT_PENDING(TERN_ERR_UNSUPPORTED, "ctc_loss");
    tern_scope_pop(scope);
}
